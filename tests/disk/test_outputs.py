"""Names of outputs that would destroy something are refused; tests/verbs/test_output_options.py tries each option."""

import os
from pathlib import Path

import pytest

from ppreid.base.errors import ConfigError, WriteError
from ppreid.disk import outputs
from ppreid.disk.outputs import FINDINGS_JSON, LABELS_CSV, MATCHES_CSV, MATCHES_JSON, Output, check_outputs

KINDS = {name: kind for name, kind in vars(outputs).items() if isinstance(kind, outputs.OutputKind)}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def check(name, kind=LABELS_CSV, *, overwrite=False, inputs=()):
    check_outputs([Output("--out", Path(name), kind)], overwrite=overwrite, inputs=map(Path, inputs))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_new_name_an_empty_file_and_every_suffix_of_the_kind_are_fine(kind):
    for suffix in kind.suffixes:
        check(f"new{suffix}", kind)
        check(f"NEW{suffix.upper()}", kind)
        Path(f"empty{suffix}").touch()
        check(f"empty{suffix}", kind)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_another_suffix_is_refused_even_with_overwrite(kind):
    for name in ("out", "out.jpg", f"out{kind.suffixes[0]}.bak"):
        with pytest.raises(
            ConfigError, match=rf"--out {name} would be {kind.what}, .* written as \{kind.suffixes[0]};"
        ):
            check(name, kind, overwrite=True)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_file_of_another_kind_is_replaced_only_when_asked_to(kind):
    name = f"mine{kind.suffixes[0]}"
    for content in (
        b"mine",
        b"\x89PNG\r\n\x1a\n of a camera",
        b"<!doctype html>\n",
        b"[1, 2]",
        b'{"a": 1}',
        b"path,x\n",
    ):
        Path(name).write_bytes(content)
        with pytest.raises(ConfigError, match=rf"{name} exists and is not {kind.what}; pass --overwrite to replace it"):
            check(name, kind)
        check(name, kind, overwrite=True)


def test_an_earlier_output_of_the_kind_may_be_replaced_and_of_no_other():
    Path("a.csv").write_text("path,cluster\na.jpg,1\n")
    check("a.csv", LABELS_CSV)
    with pytest.raises(ConfigError, match=r"a\.csv exists and is not a CSV of search results"):
        check("a.csv", MATCHES_CSV)


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("name", ["input.csv", "./input.csv", "link.csv", "hard.csv", "folder/../input.csv"])
def test_an_input_is_never_an_output(name, overwrite):
    Path("folder").mkdir()
    Path("input.csv").write_text("path,cluster\n")
    Path("link.csv").symlink_to("input.csv")
    os.link("input.csv", "hard.csv")
    with pytest.raises(ConfigError, match=r"is an input of this command, .*input\.csv.*; inputs are never replaced"):
        check(name, overwrite=overwrite, inputs=["other", "input.csv"])


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_file_within_a_folder_of_inputs_is_one_of_them_unless_it_is_an_earlier_output(overwrite):
    Path("crops/deep").mkdir(parents=True)
    Path("crops/deep/a.csv").write_text("mine")
    Path("to_crops").symlink_to("crops")
    for name in ("crops/deep/a.csv", "to_crops/deep/a.csv"):
        with pytest.raises(ConfigError, match="lies among them"):
            check(name, overwrite=overwrite, inputs=["crops"])
    check("crops/new.csv", overwrite=overwrite, inputs=["crops"])
    Path("crops/new.csv").write_text("path,cluster\n")
    check("crops/new.csv", overwrite=overwrite, inputs=["crops"])


def test_two_outputs_are_two_files():
    Path("link.json").symlink_to("a.json")
    first = Output("--json", Path("a.json"), MATCHES_JSON)
    for name in ("a.json", "./a.json", "link.json"):
        with pytest.raises(ConfigError, match="--json and --other are the same file"):
            check_outputs([first, Output("--other", Path(name), FINDINGS_JSON)], overwrite=True)
    both = [Output(option, Path("-"), kind) for option, kind in (("--json", MATCHES_JSON), ("--csv", MATCHES_CSV))]
    with pytest.raises(ConfigError, match="--json and --csv are the same file, -"):
        check_outputs(both, overwrite=False)


@pytest.mark.parametrize("name", ["-", "/dev/null", "/dev/stdout", "/dev/fd/1", "pipe"])
def test_what_is_no_regular_file_may_have_any_name(name):
    os.mkfifo("pipe")
    check(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing/a.csv", "No such file or directory; make its folder first"),
        ("file/a.csv", "make its folder first"),
        ("folder.csv", "Is a directory"),
        ("circle.csv", "Too many levels of symbolic links"),
        ("away.csv", "No such file or directory; make its folder first"),
        (f"{'n' * 300}.csv", "File name too long"),
    ],
)
def test_a_place_that_nothing_can_be_written_to_is_an_error_of_writing(name, reason):
    Path("file").touch()
    Path("folder.csv").mkdir()
    Path("circle.csv").symlink_to("circle.csv")
    Path("away.csv").symlink_to("missing/a.csv")
    with pytest.raises(WriteError, match=rf"{name} cannot be written: .*{reason}") as caught:
        check(name, overwrite=True)
    assert caught.value.exit_code == 8
