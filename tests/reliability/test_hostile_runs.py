"""Files of a run that a stranger or an accident has changed: what reads them says so, or shows what is left."""

import json
import os

import numpy as np
import pytest

from ppreid.base.errors import ConfigError, DataError, WriteError
from ppreid.cli import main
from ppreid.disk.feature_notes import read_notes
from ppreid.disk.features import read_features
from ppreid.report.ablation_table import finished_run
from ppreid.run.folder import CAMERAS, CONFIG, ENVIRONMENT, LABELS, METRICS, REPORT
from ppreid.run.lock import LOCK, process_at_work, run_lock
from ppreid.run.metrics import MAX_LINE, read_metrics

ESCAPE = "\x1b[2J\x1b]0;x\x07"
OWNER = {"pid": 1, "host": "elsewhere", "boot": "another", "started": "2024-01-01 00:00:00", "ticks": 5}


def test_what_no_run_has_written_into_a_lock_is_nobodys(tmp_path):
    odd = [{"pid": pid} for pid in ("1", -1, 0, 2**70, 10**400, 1.5, True, None, [1])]
    odd += [{key: value} for key in ("host", "boot", "started") for value in (None, 1, [], {})]
    texts = [json.dumps({**OWNER, **changes}) for changes in odd]
    texts += ["null", "3", '"a"', "[" * 4000, "9" * 4000, "\0" * 100, ESCAPE, '{"pid": NaN}', '{"pid": 1}']
    for text in texts:
        (tmp_path / LOCK).write_text(text)
        assert process_at_work(tmp_path) == "", text
        with run_lock(tmp_path) as sentence:
            assert sentence == "", text


def test_the_name_of_an_owner_is_text_and_short(tmp_path):
    for ticks in (5, "5", None, -1, []):
        (tmp_path / LOCK).write_text(json.dumps({**OWNER, "host": ESCAPE + "x" * 3000, "ticks": ticks}))
        assert process_at_work(tmp_path).isprintable()
        assert len(process_at_work(tmp_path)) < 300
        with pytest.raises(ConfigError, match="is locked by process 1 on") as caught, run_lock(tmp_path):
            pass
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", ["pipe", "folder", "large file"])
def test_what_is_no_lock_is_left_alone(tmp_path, kind):
    lock = tmp_path / LOCK
    match kind:
        case "pipe":
            os.mkfifo(lock)
        case "folder":
            lock.mkdir()
        case _:
            lock.write_bytes(b"x" * 5000)
    error = WriteError if kind == "folder" else ConfigError  # a folder is what the system refuses to open
    with pytest.raises(error) as caught, run_lock(tmp_path):
        pass
    assert str(tmp_path) in str(caught.value) and LOCK in str(caught.value)
    assert lock.exists()
    if kind == "large file":
        assert lock.read_bytes() == b"x" * 5000
        assert process_at_work(tmp_path) == ""
    else:
        with pytest.raises(DataError, match=str(lock)):
            process_at_work(tmp_path)


# numbers, labels and the rest


DAMAGED_ROWS = {
    "no JSON": "{",
    "deep": '{"event": ' + "[" * 100_000,
    "digits": '{"event": "epoch", "epoch": ' + "9" * 5_000 + "}",
    "a large epoch": '{"event": "epoch", "epoch": ' + "9" * 400 + "}",
    "an epoch below zero": '{"event": "epoch", "epoch": -1}',
    "an epoch of text": '{"event": "epoch", "epoch": "1"}',
    "half an epoch": '{"event": "epoch", "epoch": 1.5}',
    "a true epoch": '{"event": "epoch", "epoch": true}',
    "no epoch at all": '{"event": "epoch", "epoch": null}',
    "no event": '{"epoch": 1}',
    "another event": '{"event": ["epoch"], "epoch": 1}',
    "escape sequences": f'{{"event": {ESCAPE}}}',
    "long": '{"event": "epoch", "epoch": 1, "x": "' + "x" * MAX_LINE + '"}',
    "bytes": '{"event": "\udcff"}',
}
ODD = [None, "7", "NaN", "<script>", True, [], {}, [1], {"a": 1}, 10**400, -(10**300), 1e308, -1, 0, 5e-324]
KEYS = (
    "mAP", "Rank-1", "mINP", "valid_queries", "loss", "loss_contrast", "loss_lp", "clusters", "outliers", "largest",
    "images", "lr", "pli_degree", "label_quality", "label_stability", "camera_mixing", "cross_camera_clusters",
    "stage_seconds", "skipped_steps", "peak_memory_gb",
)  # fmt: skip


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / CONFIG).write_text("solver: {epochs: 3}\n")
    (folder / METRICS).write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return folder


def rows(**values):
    epochs = [{"event": "epoch", "epoch": epoch, "clusters": 4, "images": 40} for epoch in (1, 2)]
    evaluations = [{"event": "evaluation", "epoch": epoch, "mAP": 7.5, "Rank-1": 9.0} for epoch in (0, 1, 2)]
    return [{**row, **values} for row in (*evaluations, *epochs)]


def page(run, capsys, *more):
    """The page of a run, made by the command without a traceback; and what it said."""
    code = main(["report", str(run), "--no-images", *more])
    said = capsys.readouterr()
    text = said.out + said.err
    assert "Traceback" not in text and "\x1b" not in text
    return code, text


@pytest.mark.parametrize("line", DAMAGED_ROWS.values(), ids=DAMAGED_ROWS)
def test_a_damaged_line_of_the_numbers_is_named(run, line, capsys):
    with open(run / METRICS, "a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl, line 6, is damaged"):
        read_metrics(run / METRICS)
    code, text = page(run, capsys)
    assert code == 3 and "line 6" in text and len(text) < 1000


@pytest.mark.parametrize("value", ODD, ids=lambda value: ascii(value)[:20])
def test_a_value_that_is_no_number_is_a_gap(run, value, capsys):
    for first in (0, 1):  # every second key, the others are honest
        values = {**dict.fromkeys(KEYS, 5.0), **dict.fromkeys(KEYS[first::2], value)}
        (run / METRICS).write_text("".join(json.dumps(row) + "\n" for row in rows(**values)))
        code, text = page(run, capsys, "--overwrite")
        assert code == 0, text
        assert ">nan<" not in (run / REPORT).read_text()
    both = dict.fromkeys(KEYS, value) | {"stage_seconds": {"extract": value, "train": value}}
    both |= {"label_quality": {"ari": value, "nmi": value}}
    (run / METRICS).write_text("".join(json.dumps(row) + "\n" for row in rows(**both)))
    assert page(run, capsys)[0] == 0
    assert main(["report", str(run), str(run), "--out", str(run.parent / "two.html")]) == 0


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_does_not_have_are_gaps(run, text, capsys):
    lines = [f'{{"event": "epoch", "epoch": {epoch}, "loss": {text}, "lr": {text}}}\n' for epoch in (1, 2)]
    (run / METRICS).write_text("".join(lines))
    assert page(run, capsys)[0] == 0


OTHERS = {
    LABELS: [
        "", "path\na.jpg\n", "path,cluster\na.jpg\n",
        "path,cluster\na.jpg,x\n", "path,cluster\na.jpg," + "9" * 30 + "\n",
        'path,cluster\n"a.jpg,1\n', f"path,cluster\na.jpg,{ESCAPE}\n", "path,cluster\n" + "x" * 100_000 + ",1\n",
        "path,cluster\na.jpg,1\0\n", "path,cluster\na.jpg,NaN\n",
    ],
    CAMERAS: ["", "camid,name\nx,y\n", "camid,name\n1\n", f"camid,name\n{ESCAPE},y\n", "camid,name\n0,\0\n"],
    ENVIRONMENT: ["", "[]", "null", "{", "3", '{"a": ' + "[" * 100_000, ESCAPE, '{"a": ' + "9" * 5000 + "}"],
    CONFIG: ["a: [1", "text", "- 1", "&a [*a]", "a: " + "[" * 10_000, ESCAPE, "a: " + "x" * 300_000, "!!python/none 1"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in OTHERS.items() for text in texts],
                         ids=lambda value: ascii(value)[1:20])  # fmt: skip
def test_a_damaged_file_of_a_run_is_named(run, name, text, capsys):
    (run / name).write_text(text)
    code, said = page(run, capsys)
    assert (code, name in said) == (3, True), said
    assert len(said) < 1500


HONEST = [
    (LABELS, "path,cluster\na.jpg," + "9" * 18 + "\nb.jpg,-5\n"),
    (LABELS, "path,cluster\n"),
    (CAMERAS, "camid,name\n999999999999999999,<script>alert(1)</script>\n"),
    (ENVIRONMENT, json.dumps({"<script>alert(1)": ESCAPE, "a": None, "device": [1], "started": 5, "git": {"a": 1}})),
    (CONFIG, "<script>alert(1): {a: <script>alert(1)}\nseed: {a: 1}\nsolver: 5\nunknown: null\n"),
    (CONFIG, "{}"),
]


@pytest.mark.parametrize(("name", "text"), HONEST)
def test_strange_values_are_shown_as_text(run, name, text, capsys):
    (run / name).write_text(text)
    code, said = page(run, capsys)
    assert code == 0, said
    assert "<script>alert" not in (run / REPORT).read_text()


@pytest.mark.parametrize("name", [CONFIG, METRICS, LABELS, CAMERAS, ENVIRONMENT])
def test_a_pipe_in_the_place_of_a_file_of_a_run_is_not_waited_for(run, name, capsys):
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    code, said = page(run, capsys)
    assert code == 3 and f"cannot read {run / name}: it is a pipe" in said


@pytest.mark.parametrize(
    "odd", [None, [], {}, "7", {"mAP": None}, {"mAP": "7"}, {"mAP": float("nan")}, {"mAP": 10**400}], ids=ascii
)
@pytest.mark.parametrize("part", ["last", "best"])
def test_a_damaged_summary_of_a_run_is_named_by_the_ablation(run, part, odd):
    honest = {"mAP": 7.5, "Rank-1": 9.0, "epoch": 2}
    summary = {"event": "summary", "last": honest, "best": honest}
    (run / METRICS).write_text(json.dumps(summary) + "\n")
    assert finished_run(run, "ise", 1).best == honest
    changed = {**honest, **odd} if isinstance(odd, dict) and odd else odd
    (run / METRICS).write_text(json.dumps({**summary, part: changed}) + "\n")
    with pytest.raises(DataError, match=rf"metrics\.jsonl:1: {part} has no number mAP"):
        finished_run(run, "ise", 1)


# what stands beside a file of features


PROGRESS = ["", "[]", "null", "{}", "[" * 100_000, '{"rows": ' + "9" * 5000 + "}", ESCAPE, "\0"]
PROGRESS += [json.dumps({"rows": rows, "sha256": "0" * 64}) for rows in (None, "8", -1, 1.5, True, 10**400, [], {})]
PROGRESS += [json.dumps({"rows": 8, "sha256": digest}) for digest in (None, 1, [])]


@pytest.mark.parametrize("text", PROGRESS, ids=lambda text: ascii(text)[1:30])
def test_the_progress_of_an_extraction_may_be_anything(tmp_path, text):
    (tmp_path / "f.npy.progress").write_text(text)
    with pytest.raises(DataError) as caught:
        read_notes(tmp_path / "f.npy.progress")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"\xff" * 100, b"x" * 1_000_000, ESCAPE.encode()])
def test_a_checksum_may_be_anything(tmp_path, content):
    np.save(tmp_path / "f.npy", np.eye(3, dtype=np.float32))
    (tmp_path / "f.npy.sha256").write_bytes(content)
    with pytest.raises(DataError, match="does not match its checksum"):
        read_features(tmp_path / "f.npy")
    (tmp_path / "f.npy.sha256").unlink()
    os.mkfifo(tmp_path / "f.npy.sha256")
    with pytest.raises(DataError, match="it is a pipe"):
        read_features(tmp_path / "f.npy")
