"""eval.within_tracks: learned from the tracks of the training images, for network and colour, in every evaluation."""

import numpy as np
import pytest

from ppreid import wiring
from ppreid.base.errors import DataError
from ppreid.base.records import ids, tracks
from ppreid.config.load import load_config
from ppreid.datasets.colour import colour_features
from ppreid.evaluation.inputs import beside_colour, centred
from ppreid.evaluation.ranking import evaluate_features
from ppreid.models.flip import FlipAveraged
from ppreid.neighbours.within_tracks import WithinTracks
from ppreid.run.folder import LAST
from ppreid.training.extract import extract_features
from ppreid.verbs.evaluate import evaluate
from ppreid.verbs.network import trained_network
from ppreid.verbs.report import report
from ppreid.verbs.train import train

TRACKS = [r"data.track_pattern=(?P<track>\d+_c\d+s\d+)_(?P<frame>\d+)", "data.clock=track"]
KEYS = ["eval.within_tracks=2", "eval.colour=0.4", "eval.camera_centre=5", "eval.flip=true"]
pytestmark = [pytest.mark.filterwarnings("ignore:.*cameras have fewer"), pytest.mark.usefixtures("hard_demo")]


@pytest.fixture
def run(tiny_config, tmp_path):
    """A configuration that is trained for a step, with the options of this page."""
    short = ["solver.epochs=1", "solver.iters=1", f"output_dir={tmp_path / 'run'}", "data.num_workers=0"]
    return load_config(tiny_config, [*short, *TRACKS, *KEYS])


def test_training_and_evaluation_map_network_and_colour_each_by_itself(run, tmp_path):
    rows = train(run)
    assert rows[-1]["mAP"] < 99
    cfg = run.model_copy(update={"model": run.model.model_copy(update={"weights": str(tmp_path / "run" / LAST)})})
    assert 100 * evaluate(cfg).mean_ap == pytest.approx(rows[-1]["mAP"], abs=1e-6)

    split = wiring.dataset(cfg.data).split
    tested, numbers = split.query + split.gallery, tracks(split.train)[0]
    assert len(set(numbers.tolist())) > 1
    network = FlipAveraged(trained_network(cfg.model, cfg.data).model)

    def mapped(of, shrinkage=5.0):
        return centred(WithinTracks.learned(of(split.train), numbers, shrinkage=2.0)(of(tested)), split, shrinkage)

    parts = [
        mapped(lambda records: extract_features(network, wiring.feature_loader(records, cfg.data, cfg.eval))),
        mapped(lambda records: colour_features(list(records))),
    ]
    halves = np.split(beside_colour(*parts, weight=0.4), [len(split.query)])
    (query_pids, query_camids), (gallery_pids, gallery_camids) = ids(split.query), ids(split.gallery)
    identities = query_pids, gallery_pids, query_camids, gallery_camids
    result = evaluate_features(*halves, *identities)
    assert 100 * result.mean_ap == pytest.approx(rows[-1]["mAP"], abs=1e-6)
    colour = mapped(lambda records: colour_features(list(records)), shrinkage=100.0)
    result = evaluate_features(*np.split(colour, [len(split.query)]), *identities)
    assert rows[0]["colour, within tracks: mAP"] == pytest.approx(100 * result.mean_ap)


def test_the_ranks_of_a_report_learn_from_tracks_as_well(run, tmp_path, monkeypatch):
    class SeenError(Exception):
        pass

    def gather(*_, extract, prepare, **settings):
        split = wiring.dataset(run.data).split
        of_train, rows = extract(split.train), extract(split.query + split.gallery)
        raise SeenError(split, of_train, rows, prepare(rows))

    train(run)
    monkeypatch.setattr("ppreid.report.gather.gather_evidence", gather)
    with pytest.raises(SeenError) as seen:
        report([tmp_path / "run"])
    split, of_train, rows, prepared = seen.value.args
    mapped = WithinTracks.learned(of_train, tracks(split.train)[0], shrinkage=2.0)(rows)
    of_network = prepared[:, : rows.shape[1]] / np.sqrt(np.float32(0.6))
    np.testing.assert_allclose(of_network, centred(mapped, split, 5.0), atol=1e-5)
    assert np.abs(of_network - centred(rows, split, 5.0)).max() > 0.01


def test_it_needs_tracks_and_says_so_before_training(tiny_config, tmp_path):
    cfg = load_config(tiny_config, ["eval.within_tracks=on", f"output_dir={tmp_path / 'run'}"])
    assert cfg.eval.within_tracks == 1.0
    with pytest.raises(DataError, match=r"eval\.within_tracks needs images whose track is known, and there is none"):
        train(cfg)
