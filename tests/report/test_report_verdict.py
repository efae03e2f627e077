"""The verdict on a run without labels: its word, its reasons, and a command that could be given."""

import re
import shlex
from pathlib import Path

import pytest
from invented import invented_run, tracks_that_miss

from ppreid.base.errors import ConfigError
from ppreid.cli import parser
from ppreid.clustering.sweep import EpsAdvice
from ppreid.config.load import load_config
from ppreid.report.chinese import in_chinese
from ppreid.report.evidence import Evidence
from ppreid.report.page import run_page
from ppreid.report.run_files import RUNNING, STOPPED
from ppreid.report.verdict import BAD, DOUBTFUL, GOOD, verdict

SOUND = {"images": 100, "outliers": 10, "largest": 5, "camera_mixing": 0.8, "label_stability": 0.8}
ADVICE = EpsAdvice(0.35, "it separates all images best: silhouette 0.62 and 16% outliers, in 68 clusters of at most 53")


def run_with(state="finished", config=None, folder="out put/run", **values):
    run = invented_run("run", evaluated=False)
    run.epochs[-1].update(SOUND | values)
    keys = {"labels": {"eps": 0.5, "camera_centre": 0.0}, "model": {"weights": "none"}, "solver": {"epochs": 4}}
    return run._replace(state=state, folder=folder, config=keys | (config or {}))


@pytest.mark.parametrize(
    ("values", "word", "reason"),
    [
        ({}, GOOD, "The labels stay from epoch to epoch (stability 0.80)."),
        ({"largest": 25}, GOOD, "the largest holds 25% of the images"),
        ({"largest": 26}, BAD, "One cluster holds 26% of the images."),
        ({"outliers": 30}, GOOD, "30% of the images are outliers"),
        ({"outliers": 31}, DOUBTFUL, "31% of the images are outliers"),
        ({"outliers": 50}, DOUBTFUL, "50% of the images are outliers"),
        ({"outliers": 51}, BAD, "51% of the images are outliers"),
        ({"camera_mixing": 0.5}, GOOD, "Clusters join cameras (camera mixing 0.50)."),
        ({"camera_mixing": 0.49}, DOUBTFUL, "Few clusters join cameras (camera mixing 0.49)."),
        ({"camera_mixing": 0.19}, BAD, "people within one camera at best"),
        ({"camera_mixing": None}, GOOD, "The labels stay"),
        ({"label_stability": 0.5}, GOOD, "(stability 0.50)"),
        ({"label_stability": 0.49}, DOUBTFUL, "Every epoch shuffles the labels (stability 0.49)."),
        ({"label_stability": None}, DOUBTFUL, "It is not known yet whether labels stay"),
        ({"images": None}, GOOD, "The labels stay"),
    ],
)
def test_the_word_is_the_worst_that_a_reason_speaks_for(values, word, reason):
    found = verdict(run_with(**values))
    assert found.word == word
    assert any(reason in one.text and one.speaks_for == word for one in found.reasons)
    order = ["bad", "doubtful", "good", ""]
    places = [order.index(one.speaks_for) for one in found.reasons]
    assert places == sorted(places)


def test_a_giant_cluster_keeps_the_others_from_speaking_for_the_run():
    found = verdict(run_with(largest=60, camera_mixing=0.99, outliers=0, label_stability=1.0))
    assert [reason.speaks_for for reason in found.reasons] == [BAD, ""]
    assert found.reasons[0].text.startswith("One cluster holds 60% of the images.")


@pytest.mark.parametrize(("missed", "word"), [(0.2, GOOD), (0.21, DOUBTFUL), (0.5, DOUBTFUL), (0.51, BAD)])
def test_what_tracks_miss_counts_where_there_are_tracks(missed, word):
    found = verdict(run_with(), tracks=tracks_that_miss(missed))
    assert found.word == word
    assert any(f"Tracks miss {missed:.0%} of the pairs of one person" in reason.text for reason in found.reasons)
    unknown = [reason.text for reason in verdict(run_with()).reasons if reason.speaks_for == ""]
    assert len(unknown) == 1 and unknown[0].startswith("No tracks tell error rates")


CENTRED = {"labels": {"eps": 0.5, "camera_centre": 100.0}}
IMAGENET = {"labels": {"eps": 0.5, "camera_centre": 100.0}, "model": {"weights": "imagenet"}}


@pytest.mark.parametrize(
    ("run", "eps", "command"),
    [
        (run_with(), ADVICE, "search.py index 'out put/run' --out 'out put/run_index'"),
        (run_with(state=RUNNING, largest=60), None, "report.py 'out put/run'"),
        (run_with(state=STOPPED), None, "train.py --resume 'out put/run'"),
        (run_with(largest=60), None, "cluster.py 'out put/run' --sweep eps=0.2:0.8:0.05"),
        (run_with(largest=60), EpsAdvice(None, "none"), "cluster.py 'out put/run' --sweep eps=0.2:0.8:0.05"),
        (run_with(largest=60), EpsAdvice(0.5, "its own"), "cluster.py 'out put/run' --sweep eps=0.2:0.8:0.05"),
        (run_with(largest=60), ADVICE, "-o labels.eps=0.35 -o 'output_dir=out put/run_eps0.35'"),
        (run_with(outliers=60), ADVICE, "-o labels.eps=0.35 -o 'output_dir=out put/run_eps0.35'"),
        (run_with(camera_mixing=0.1), ADVICE, "-o labels.camera_centre=on -o eval.camera_centre=on"),
        (run_with(camera_mixing=0.1, config=CENTRED), ADVICE, "weights.py list"),
        (run_with(camera_mixing=0.1, config=IMAGENET), ADVICE, "search.py index 'out put/run'"),
        (run_with(label_stability=0.2), ADVICE, "weights.py list"),
    ],
)
def test_the_next_command_suits_what_is_worst_and_could_be_given(run, eps, command):
    found = verdict(run, eps=eps)
    assert found.command.startswith("python tools/") and command in found.command
    _, tool, *arguments = shlex.split(found.command)
    parsed = parser().parse_args([Path(tool).stem, *arguments])
    assert load_config("demo.yaml", getattr(parsed, "overrides", []))


def test_tracks_that_miss_much_lead_to_other_recordings():
    found = verdict(run_with(config=IMAGENET), tracks=tracks_that_miss(0.6))
    assert found.command == "python tools/eval.py 'out put/run' --without-labels"


def test_a_key_that_does_not_exist_would_have_been_noticed():
    with pytest.raises(ConfigError):
        load_config("demo.yaml", ["labels.camera_center=on"])


def test_nothing_is_said_before_the_first_epoch_nor_where_something_was_measured():
    run = run_with()
    assert verdict(run._replace(epochs=[])) is None
    measured = invented_run("run")
    assert 'id="verdict"' not in run_page(measured, Evidence(), reference={})
    assert 'id="verdict"' not in run_page(run._replace(epochs=[]), Evidence(), reference={})


def test_the_page_begins_with_the_word_and_ends_with_reasons_and_command():
    page = run_page(run_with(outliers=60), Evidence(eps=ADVICE), reference={})
    assert '<a href="#verdict">Verdict: <strong class="bad">bad</strong></a>' in page.split("<main")[0]
    end = page.split("<section")[-1]
    assert end.startswith(' id="verdict"') and "60% of the images are outliers" in end
    assert "Recommended: labels.eps=0.35 (this run: 0.5), since it separates all images best" in end
    assert "python tools/train.py -c &#39;out put/run/config.yaml&#39; -o labels.eps=0.35" in end
    none = run_page(
        run_with(), Evidence(eps=EpsAdvice(None, "every value leaves outliers alone; try higher ones")), reference={}
    )
    assert "No labels.eps can be recommended: every value leaves outliers alone; try higher ones." in none


@pytest.mark.parametrize(
    "values",
    [{}, {"largest": 60}, {"outliers": 60, "camera_mixing": 0.1}, {"camera_mixing": 0.3, "label_stability": 0.1}],
)
@pytest.mark.parametrize("state", ["finished", RUNNING, STOPPED])
def test_the_verdict_is_translated(values, state):
    names = r"labels\.eps|tools/\w+\.py"
    for missed in (None, 0.3):
        tracks = None if missed is None else tracks_that_miss(missed)
        found = verdict(run_with(state=state, **values), tracks=tracks)
        for text in (found.word, found.advice, *(reason.text for reason in found.reasons)):
            assert not re.search("[A-Za-z]{3}", re.sub(names, "", in_chinese(text))), text


@pytest.mark.parametrize("behind", ["", "; from 0.6 on one cluster holds more than a quarter"])
@pytest.mark.parametrize("last", ["", "; it is the last value that was tried, so that one beyond it may be better"])
def test_the_recommendation_is_translated(behind, last):
    text = f"Recommended: labels.eps=0.35 (this run: 0.5), since {ADVICE.reason}{behind}{last}."
    assert not re.search("[A-Za-z]{3}", in_chinese(text).replace("labels.eps", ""))
