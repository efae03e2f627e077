import re
from html.parser import HTMLParser

import pytest
from invented import HOSTILE, invented_evidence, invented_run, tracks_that_miss
from PIL import Image

from ppreid.base.records import ImageRecord
from ppreid.report.cluster_sheets import MAX_BYTES, Thumbnails
from ppreid.report.evidence import Evidence, cluster_evidence
from ppreid.report.headline import duration, remarks, sentence, tiles
from ppreid.report.page import TEMPLATES, describe, run_page
from ppreid.report.run_files import RUNNING, STOPPED, against, differences, flat

VOID = {"meta", "link", "img", "input", "br"}


class Elements(HTMLParser):
    """All elements of a page with their attributes; complains about what is not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def elements(pages):
    return Elements(pages.run.read_text(encoding="utf-8")).found


def test_a_page_refers_to_nothing_outside(pages, elements):
    for _, attributes in elements:
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:image/jpeg;base64,")), attributes
    assert "url(" not in (TEMPLATES / "report.css").read_text() + pages.run.read_text(encoding="utf-8")
    policy = next(a["content"] for tag, a in elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_names_are_text_wherever_they_stand(pages, elements):
    assert HOSTILE not in pages.run.read_text(encoding="utf-8")
    assert HOSTILE not in pages.comparison.read_text(encoding="utf-8")
    assert not any(name.startswith("on") for _, attributes in elements for name in attributes)
    assert not any("style" in attributes for _, attributes in elements)  # the policy would refuse them
    assert any(HOSTILE in attributes.get("alt", "") for tag, attributes in elements if tag == "img")


def test_every_picture_is_described_and_every_control_has_a_name(elements):
    pictures = [attributes for tag, attributes in elements if tag == "img"]
    assert len(pictures) > 50
    names = rf"camera (1 \({re.escape(HOSTILE)}\)|2|3), identity \d, "
    assert all(re.match(names, attributes["alt"]) for attributes in pictures)
    for tag, attributes in elements:
        if tag == "svg" and "swatch" not in attributes.get("class", ""):
            assert len(attributes["aria-label"]) > 20


def test_comparisons_are_closed_in_order(pages):
    assert len(Elements(pages.comparison.read_text(encoding="utf-8")).found) > 100


@pytest.mark.parametrize("epochs", [0, 1, 70])
@pytest.mark.parametrize("evaluated", [True, False])
def test_runs_of_any_length(epochs, evaluated):
    run = invented_run("run", epochs=epochs, evaluated=evaluated)
    page = run_page(run, Evidence(), reference={})
    assert not re.search(r"\bnan\b", page, re.IGNORECASE)
    assert ("<h2>Curves" in page) == bool(epochs or evaluated)
    assert 'id="map-data"' not in page


def test_unknown_identities_and_cameras_are_left_out(people):
    records = tuple(record._replace(pid=-1, camid=-1) for record in people)
    evidence = invented_evidence(people)
    clusters = cluster_evidence(evidence.clusters.labels, records, per_kind=3, seed=0)
    page = run_page(invented_run("run"), Evidence(clusters=clusters), reference={})
    assert "identity" not in page.split("<main")[1].split("<h2>Configuration")[0]
    assert "purity" not in page.split("<main")[1]
    assert clusters.cameras == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_enough_contrast_for_wcag_aa(theme):
    blocks = re.findall(r"--paper: [^}]*", (TEMPLATES / "report.css").read_text())
    colours = dict(re.findall(r"--([a-z0-9]+): (#[0-9a-f]{6})", blocks[0 if theme == "light" else 1]))
    paper, wash = colours.pop("paper"), colours["wash"]
    for name in ("ink", "muted", "link", "right", "wrong"):
        assert contrast(colours[name], paper) >= 4.5, name
    for number in range(1, 7):
        assert contrast(colours[f"c{number}"], paper) >= 3, f"c{number}"
    assert contrast(colours["ink"], wash) >= 4.5


def test_both_dark_themes_are_the_same():
    blocks = re.findall(r"--paper: [^}]*", (TEMPLATES / "report.css").read_text())
    assert blocks[1].split() == blocks[2].split()


def contrast(a, b):
    """WCAG 2.1: relative luminance with an offset of 0.05."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_pictures_are_small_whatever_they_show(tmp_path):
    noise = Image.effect_noise((500, 1000), 200).convert("RGB")
    noise.save(tmp_path / "noise.png")
    Image.new("RGB", (4000, 20)).save(tmp_path / "wide.png")
    thumbnails = Thumbnails()
    for name in ("noise.png", "wide.png"):
        uri = thumbnails.uri(str(tmp_path / name))
        assert uri.startswith("data:image/jpeg;base64,")
        assert len(uri) < 4 / 3 * MAX_BYTES * 1.5
    assert thumbnails.uri(str(tmp_path / "none.png")) == ""


def test_images_in_words():
    assert describe(ImageRecord("/a/b.jpg", 3, 0), {}) == "camera 1, identity 3, b.jpg"
    assert describe(ImageRecord("/a/b.jpg", 0, 4), {}) == "camera 5, distractor, b.jpg"
    assert describe(ImageRecord("/a/b.jpg", -1, -1), {}) == "b.jpg"
    assert describe(ImageRecord("/a/b.jpg", -1, 1), {1: "door"}) == "camera 2 (door), b.jpg"


def test_the_top_of_the_page():
    run = invented_run("run")
    assert sentence(run) == (
        "Training finished all 4 epochs in 2.1 min. After epoch 4 the network finds the right person first for 24.0 % "
        "of 18 queries. Before training it was 20.0 %."
    )
    shown = {tile.name: (tile.value, tile.unit, tile.detail) for tile in tiles(run, num_identities=6)}
    assert shown["mAP"] == ("14.0", "%", "before 10.0 · best epoch")
    assert shown["Clusters"] == ("8", "", "6 people in truth")
    assert shown["Outliers"] == ("36.1", "%", "26 of 72 images")
    assert shown["Epochs"] == ("4", "of 4", "")
    assert shown["Time"] == ("2.1", "min", "31 s per epoch")
    assert sentence(run._replace(state=RUNNING)).startswith("Training is running: 4 of 4 epochs are done.")
    assert "stopped after 4 of 4" in sentence(run._replace(state=STOPPED))
    assert sentence(invented_run("run", evaluated=False)).endswith(" Nothing was evaluated.")
    begun = run._replace(evaluations=run.evaluations[:1], state=RUNNING)
    assert sentence(begun).endswith(" No evaluation was due yet; before training Rank-1 was 20.0 %.")
    assert tiles(begun, num_identities=None)[0].detail == "before training"


def remarks_on(*, tracks=None, **values):
    run = invented_run("run")
    run.epochs[-1].update({"camera_mixing": None} | values)
    return remarks(run, tracks)


def test_remarks_are_made_beyond_their_limits_only():
    assert remarks_on() == []
    assert remarks_on(outliers=36, largest=18, camera_mixing=0.2) == []
    assert remarks_on(outliers=None, largest=None, images=0) == []
    assert [text[:3] for text in remarks_on(outliers=37, largest=19)] == ["51%", "One"]
    assert "camera mixing 0.19" in remarks_on(camera_mixing=0.19)[0]
    run = invented_run("run", epochs=8)
    run.evaluations[2]["mAP"] = 20.5
    assert remarks(run._replace(epochs=[])) == ["The last evaluation is 2.5 mAP below the best one, after epoch 4."]


FEW, MANY = tracks_that_miss(0.04), tracks_that_miss(0.6)
CAMERAS = "cameras rather than people"


@pytest.mark.parametrize(
    ("quality", "tracks", "text", "short"),
    [
        (None, None, "people are found within one camera, if at all, and not across cameras", "if they are people"),
        ({"mixed_clusters": 0.04}, None, "and 96% of them one person: people are found, but within", "one camera"),
        ({"mixed_clusters": 0.5}, MANY, "people are found, but within one camera", "one camera"),
        ({"mixed_clusters": 0.51}, FEW, "51% of them mix people: the features tell cameras apart", CAMERAS),
        ({"mixed_clusters": None}, None, "people are found within one camera, if at all", "if they are people"),
        ("damaged", None, "people are found within one camera, if at all", "if they are people"),
        (None, FEW, "tracks miss 4% of the pairs of one person: people are found, but within one", "one camera"),
        (None, MANY, "tracks miss 60% of the pairs of one person: people are not found there either", CAMERAS),
    ],
)
def test_clusters_of_one_camera_are_judged_by_whether_they_are_people(quality, tracks, text, short):
    (remark,) = remarks_on(camera_mixing=0.1, label_quality=quality, tracks=tracks)
    assert remark.startswith("Clusters hold one camera each") and text in remark
    run = invented_run("run")
    run.epochs[-1].update({"camera_mixing": 0.1, "label_quality": quality})
    assert sentence(run, tracks).endswith(f"{short}.")


def test_mixing_is_read_together_with_the_largest_cluster_and_stability():
    assert "more epochs" not in remarks_on(camera_mixing=0.1, label_stability=0.89)[0]
    assert (
        "(stability 0.90), so that more epochs will not join" in remarks_on(camera_mixing=0.1, label_stability=0.9)[0]
    )
    run = invented_run("run")
    run.epochs[-1].update({"camera_mixing": 0.1, "largest": 19})
    assert [text[:3] for text in remarks(run)] == ["One"]  # what others hold does not matter beside it
    assert sentence(run).endswith(" One cluster swallows the others.")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (60, "1.0 min"), (289, "4.8 min"), (7200, "2.0 h")]
)
def test_times_in_words(seconds, text):
    assert duration(seconds) == text


def test_configurations_against_each_other():
    config, reference = {"a": {"b": 1, "c": True}, "d": None}, {"a": {"b": 2, "c": True}}
    assert flat(config) == {"a.b": "1", "a.c": "true", "d": "null"}
    changed, unchanged = against(config, reference)
    assert [tuple(row) for row in changed] == [("a.b", "1", "2"), ("d", "null", "")]
    assert [row.key for row in unchanged] == ["a.c"]
    assert differences([config, reference]) == [("a.b", ["1", "2"]), ("d", ["null", ""])]
