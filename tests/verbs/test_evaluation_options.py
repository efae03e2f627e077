import json

import numpy as np
import paddle
import pytest

from ppreid import tables, wiring
from ppreid.base.errors import ConfigError, EvaluationError, WeightsError
from ppreid.base.records import ids
from ppreid.config.load import load_config
from ppreid.datasets.colour import COLOUR_DIM, colour_features
from ppreid.evaluation.ranking import evaluate_features
from ppreid.evaluation.rerank import evaluate_reranked
from ppreid.models.flip import FlipAveraged
from ppreid.neighbours.camera_centre import CameraCentres
from ppreid.run.folder import BAD_IMAGES, LAST, RESULTS
from ppreid.run.rows import history_table
from ppreid.training.extract import evaluate_model, extract_features
from ppreid.verbs import evaluate as verb
from ppreid.verbs.inputs import read_split
from ppreid.verbs.network import trained_network
from ppreid.verbs.train import train
from ppreid.weights.files import save_weights

pytestmark = pytest.mark.usefixtures("hard_demo")


@pytest.fixture
def evaluate(tiny_config, tmp_path):
    """Evaluate an untrained network with overrides: (result, results.json)."""

    def run(*overrides):
        weights, run = tmp_path / "weights.safetensors", tmp_path / "run"
        if not weights.exists():
            paddle.seed(3)
            save_weights(weights, wiring.reid_net(load_config(tiny_config).model))
        result = verb.evaluate(load_config(tiny_config, [f"model.weights={weights}", *overrides]))
        return result, json.loads((run / RESULTS).read_text(encoding="utf-8"))

    return run


@pytest.fixture
def arrays_of(tiny_config, tmp_path):
    """The six arrays that ranking takes, features with the (perhaps wrapped) network of `evaluate`."""

    def extract(wrap=lambda model: model):
        cfg = load_config(tiny_config, [f"model.weights={tmp_path / 'weights.safetensors'}"])
        split = read_split(cfg.data, skipped_list=tmp_path / BAD_IMAGES)
        model, _ = trained_network(cfg.model, cfg.data)
        loader = wiring.feature_loader(split.query + split.gallery, cfg.data, cfg.eval)
        features = extract_features(wrap(model), loader)
        pids, camids = zip(ids(split.query), ids(split.gallery), strict=True)
        return *np.split(features, [len(split.query)]), *pids, *camids

    return extract


def test_reranking_adds_a_row_and_leaves_the_plain_numbers(evaluate, arrays_of, caplog):
    with caplog.at_level("INFO", "ppreid"):
        result, written = evaluate("eval.rerank=true", "eval.rerank_k1=5", "eval.rerank_k2=2", "eval.rerank_lambda=0.2")
    table = next(message for message in caplog.messages if message.startswith("market1501")).splitlines()
    assert [line.split()[0] for line in table[1:3]] == ["plain", "re-ranked"]
    expected = evaluate_reranked(*arrays_of(), k1=5, k2=2, lambda_value=0.2)
    assert written["reranked"]["mean_ap"] == pytest.approx(expected.mean_ap, abs=1e-9)
    assert written["reranked"]["mean_ap"] != written["results"]["mean_ap"]
    plain, written = evaluate()
    assert "reranked" not in written
    assert plain.mean_ap == result.mean_ap == written["results"]["mean_ap"]


def test_flip_averages_the_features_of_mirror_images(evaluate, arrays_of):
    plain, _ = evaluate()
    flipped, _ = evaluate("eval.flip=true")
    assert flipped.mean_ap != plain.mean_ap
    assert flipped.mean_ap == pytest.approx(evaluate_features(*arrays_of(FlipAveraged)).mean_ap, abs=1e-9)


def test_flip_works_with_the_inference_engine(evaluate):
    eager, _ = evaluate("eval.flip=true", "eval.engine=eager")
    exported, _ = evaluate("eval.flip=true", "eval.engine=inference")
    assert exported.mean_ap == pytest.approx(eager.mean_ap, abs=1e-6)


def test_evaluations_during_training_flip_and_do_not_re_rank(tiny_config, tmp_path):
    short = ["solver.epochs=1", "solver.iters=1"]
    plain = train(load_config(tiny_config, short))
    reranked = [*short, "eval.rerank=true", f"output_dir={tmp_path / 'reranked'}"]
    assert train(load_config(tiny_config, reranked)) == plain
    flipped = [*short, "eval.flip=true", f"output_dir={tmp_path / 'flipped'}"]
    rows = train(load_config(tiny_config, flipped))
    assert [row["mAP"] for row in rows] != [row["mAP"] for row in plain]
    last = load_config(tiny_config, [*flipped, "model.weights=" + str(tmp_path / "flipped" / LAST)])
    assert 100 * verb.evaluate(last).mean_ap == pytest.approx(rows[-1]["mAP"], abs=1e-9)


@pytest.mark.filterwarnings("ignore:.*cameras have fewer")
def test_colour_is_a_row_of_the_table_and_may_stand_beside_the_network(evaluate, arrays_of, tiny_config, caplog):
    with caplog.at_level("INFO", "ppreid"):
        plain, written = evaluate()
    table = next(message for message in caplog.messages if message.startswith("market1501")).splitlines()
    assert [line.rstrip("0123456789. ") for line in table[1:4]] == ["plain", "colour", "colour, centred"]
    cfg = load_config(tiny_config)
    split = wiring.dataset(cfg.data).split
    colour, identities = colour_features(split.query + split.gallery), arrays_of()[2:]
    halves = np.split(colour, [len(split.query)])
    assert written["colour"]["mean_ap"] == pytest.approx(evaluate_features(*halves, *identities).mean_ap, abs=1e-9)
    # with all of the weight colour is the ranking, however the network ranks
    for row, overrides in (("colour", ()), ("colour, centred", ("eval.camera_centre=on",))):
        result, again = evaluate("eval.colour=1.0", *overrides)
        assert result.mean_ap == pytest.approx(written[row]["mean_ap"], abs=1e-9) != plain.mean_ap
        assert again[row] == written[row]


@pytest.mark.filterwarnings("ignore:.*cameras have fewer")
def test_training_clusters_colour_first_and_says_what_it_reaches(tiny_config, tmp_path, monkeypatch):
    seen = []
    for epochs in (1, 0):
        folder = tmp_path / f"run{epochs}"
        start = ["labels.start.features=colour", f"labels.start.epochs={epochs}", "labels.camera_centre=on"]
        cfg = load_config(tiny_config, ["solver.epochs=2", "solver.iters=1", f"output_dir={folder}", *start])
        with monkeypatch.context() as patch:
            patch.setitem(tables.DISTANCES, "jaccard", tables.DISTANCES["jaccard"]._replace(function=spy(seen)))
            history = train(cfg)
    split = wiring.dataset(cfg.data).split
    _, camids = ids(split.train)
    colour = colour_features(split.train)
    expected = CameraCentres(colour, camids).subtracted_from(colour, camids)
    assert [features.shape[1] for features in seen] == [COLOUR_DIM, 64, 64, 64]
    np.testing.assert_array_equal(seen[0], expected)
    split_colour = np.split(colour_features(split.query + split.gallery), [len(split.query)])
    (query_pids, query_camids), (gallery_pids, gallery_camids) = ids(split.query), ids(split.gallery)
    result = evaluate_features(*split_colour, query_pids, gallery_pids, query_camids, gallery_camids)
    assert history[0]["colour: mAP"] == pytest.approx(100 * result.mean_ap)
    assert "colour: mAP" not in history[1]


def spy(seen):
    """The distance, which notes what features it is given."""
    real = tables.resolve(tables.DISTANCES["jaccard"].function)
    return lambda features, **settings: seen.append(features) or real(features, **settings)


@pytest.mark.parametrize("protocol", ["market1501_trapezoid", "fastreid", "all_queries"])
@pytest.mark.parametrize("ignore_camera", [False, True])
def test_every_protocol_can_be_asked_for(evaluate, arrays_of, protocol, ignore_camera):
    overrides = f"eval.protocol={protocol}", f"eval.ignore_camera={str(ignore_camera).lower()}"
    result, written = evaluate(*overrides, "eval.rerank=true", "eval.rerank_k1=5")
    assert result.protocol == written["results"]["protocol"] == written["reranked"]["protocol"] == protocol
    arrays, conventions = arrays_of(), {"protocol": protocol, "ignore_camera": ignore_camera}
    assert result.mean_ap == pytest.approx(evaluate_features(*arrays, **conventions).mean_ap, abs=1e-9)
    reranked = evaluate_reranked(*arrays, k1=5, **conventions)
    assert written["reranked"]["mean_ap"] == pytest.approx(reranked.mean_ap, abs=1e-9)
    other = {"protocol": protocol, "ignore_camera": not ignore_camera}
    assert result.mean_ap != pytest.approx(evaluate_features(*arrays, **other).mean_ap, abs=1e-3)


def test_queries_without_a_match_are_counted_with_the_reason(evaluate, monkeypatch, caplog):
    unchanged = tables.DATASETS["demo"]

    def relabelled(query_pids, query_camids):
        def read(root):
            split = tables.resolve(unchanged.read)(root)
            ends = zip(split.query, query_pids, query_camids, strict=False)
            query = [record._replace(pid=pid, camid=camid) for record, pid, camid in ends]
            gallery = [record._replace(camid=1) if record.pid == 8 else record for record in split.gallery]
            return split._replace(query=tuple(query), gallery=tuple(gallery))

        monkeypatch.setitem(tables.DATASETS, "demo", unchanged._replace(read=read))

    relabelled([7, 8, 8, 99, 98], [0, 1, 1, 0, 0])
    with caplog.at_level("INFO", "ppreid"):
        result, written = evaluate()
    assert (
        "4 of 5 queries have no valid match and are left out: 2 have an identity that is not in the gallery, "
        "2 have it on their own camera only" in caplog.text
    )
    reasons = {key: written["results"][key] for key in written["results"] if key.startswith("num_")}
    expected = {"num_queries": 5, "num_valid_queries": 1, "num_same_camera_only": 2, "num_identity_absent": 2}
    assert reasons == expected
    assert written["results"]["average_precision"][1:] == [None] * 4
    assert evaluate("eval.protocol=all_queries")[0].mean_ap == pytest.approx(result.mean_ap / 5)

    relabelled([8, 8, 99], [1, 1, 0])
    message = r"none of 3 queries .*1 have an identity that is not in the gallery, 2 have it on their own camera only"
    with pytest.raises(EvaluationError, match=message):
        evaluate()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("eval.rerank_k1=0", r"eval\.rerank_k1 is 0; it should be greater than or equal to 1"),
        ("eval.rerank_lambda=2.0", r"eval\.rerank_lambda is 2\.0; it should be less than or equal to 1"),
        ("eval.rerank=yes please", r"eval\.rerank is 'yes please'"),
        ("eval.flipp=true", r"unknown key eval\.flipp; did you mean eval\.flip\?"),
    ],
)
def test_bad_values(tiny_config, override, message):
    with pytest.raises(ConfigError, match=message):
        load_config(tiny_config, [override])


class Halves(paddle.nn.Layer):
    """Unit features from the left and the right half of an image."""

    def forward(self, images):
        left, right = images[:, 0, 0, 0], images[:, 0, 0, -1]
        return paddle.nn.functional.normalize(paddle.stack([left, right], axis=1), axis=1)


def test_flip_by_hand():
    images = paddle.to_tensor([[[[3.0, 9.0, 4.0]]], [[[1.0, 9.0, 1.0]]]])
    features = FlipAveraged(Halves())(images).numpy()
    np.testing.assert_allclose(features, np.full((2, 2), np.sqrt(0.5)), atol=1e-6)  # (3, 4) + (4, 3), (1, 1) + (1, 1)


@pytest.mark.parametrize("training", [True, False])
def test_flip_leaves_the_mode_of_the_network(training):
    model = Halves()
    model.training = training
    batch = paddle.ones([1, 3, 2, 2]), np.array([0])
    facts = {"num_images": 1, "rows": range(1)}
    loader = type("Loader", (), {**facts, "__len__": lambda self: 1, "__iter__": lambda self: iter([batch])})()
    extract_features(FlipAveraged(model), loader)
    assert model.training == training


def test_evaluate_model_returns_what_ranking_returns(tiny_config, tmp_path):
    cfg = load_config(tiny_config)
    split = read_split(cfg.data, skipped_list=tmp_path / BAD_IMAGES)
    loader = wiring.feature_loader(split.query + split.gallery, cfg.data, cfg.eval)
    shapes = evaluate_model(wiring.reid_net(cfg.model), loader, split, rank=lambda *arrays: [a.shape for a in arrays])
    q, g = len(split.query), len(split.gallery)
    assert shapes == [(q, 64), (g, 64), (q,), (g,), (q,), (g,)]


@pytest.mark.filterwarnings("ignore:.*cameras have fewer")
def test_beside_colour_the_network_alone_is_a_row(evaluate, tiny_config, tmp_path):
    """What eval.colour: 0 gives, in the results of both commands and under the table of a training."""
    alone, _ = evaluate("eval.camera_centre=on")
    _, written = evaluate("eval.camera_centre=on", "eval.colour=0.5")
    assert written["network alone"]["mean_ap"] == pytest.approx(alone.mean_ap, abs=1e-9)
    assert written["network alone"]["mean_ap"] != written["results"]["mean_ap"]

    histories = []
    for weight in (0, 0.5):
        overrides = ["solver.epochs=1", "solver.iters=2", f"output_dir={tmp_path / f'run{weight}'}"]
        histories.append(train(load_config(tiny_config, [*overrides, f"eval.colour={weight}"])))
    plain, beside = histories
    assert [row["network alone: mAP"] for row in beside] == pytest.approx([row["mAP"] for row in plain])
    assert "network alone" not in history_table(plain)
    line = next(line for line in history_table(beside).splitlines() if "network alone" in line)
    assert line.split()[2] == f"{plain[-1]['mAP']:.1f}" != f"{plain[0]['mAP']:.1f}"


def test_parts_are_trained_saved_and_evaluated(tiny_config, tmp_path):
    """The features of the network that training saved are those that it was evaluated with."""
    cfg = load_config(tiny_config, ["model.parts=4", "solver.epochs=1"])
    history = train(cfg)
    weights = tmp_path / "run" / "checkpoint_last.safetensors"
    again = verb.evaluate(load_config(tiny_config, ["model.parts=4", f"model.weights={weights}"]))
    assert 100 * again.mean_ap == pytest.approx(history[-1]["mAP"], abs=1e-3)
    model = trained_network(load_config(tiny_config, ["model.parts=4", f"model.weights={weights}"]).model, cfg.data)
    assert all((neck.weight.numpy() != 1.0).any() for neck in model.model.stripe_necks)
    with pytest.raises(WeightsError, match=r"the file is of .*4 parts, the model is .*pass -o model.parts=4"):
        verb.evaluate(load_config(tiny_config, [f"model.weights={weights}"]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.backbone=vit_small"], "model.parts is 4, of which model.backbone vit_small knows nothing"),
        (["refine.weight=1"], "model.parts is 4, and refine.weight needs 1"),
    ],
)
def test_what_does_not_go_with_parts_is_refused(tiny_config, overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config(tiny_config, ["model.parts=4", *overrides])
