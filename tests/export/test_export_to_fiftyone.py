import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ppreid.base.records import ImageRecord
from ppreid.cli import main
from ppreid.disk.features import write_records

# what the script uses of fiftyone: samples that keep fields, and a data set that keeps samples
STAND_IN = """
class Classification:
    def __init__(self, label):
        self.label = label

class Sample(dict):
    pass

class Dataset(list):
    def __init__(self, name, persistent):
        self.name, self.persistent = name, persistent
    add_samples = list.extend
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """train.npy, train.csv and labels.csv of three images, one with a strange name."""
    monkeypatch.chdir(tmp_path)
    records = [ImageRecord("a.jpg", 7, 0), ImageRecord('b, "2".jpg', -1, -1), ImageRecord("c.jpg", 8, 1)]
    for record in records:
        Image.new("RGB", (4, 8)).save(record.path)
    np.save("train.npy", np.eye(3, dtype=np.float32))
    write_records(tmp_path / "train.csv", records)
    (tmp_path / "labels.csv").write_text('path,cluster\na.jpg,0\n"b, ""2"".jpg",-1\nc.jpg,12\n')
    return tmp_path


def export(*arguments):
    return main(["export", "--to", "fiftyone", "--features", "train.npy", "--out", "view", *arguments])


def test_the_folder_names_images_with_all_that_is_known_of_them(files):
    assert export("--labels", "labels.csv") == 0
    assert json.loads((files / "view" / "samples.json").read_text())["samples"] == [
        {"filepath": str(files / "a.jpg"), "cluster": "0", "identity": "7", "camera": "0"},
        {"filepath": str(files / 'b, "2".jpg'), "cluster": "outlier"},
        {"filepath": str(files / "c.jpg"), "cluster": "12", "identity": "8", "camera": "1"},
    ]
    np.testing.assert_array_equal(np.load(files / "view" / "features.npy"), np.eye(3))


def test_the_script_in_the_folder_makes_the_data_set(files):
    assert export("--labels", "labels.csv") == 0
    (files / "fiftyone.py").write_text(STAND_IN)
    code = (
        f"import sys, runpy; sys.path.insert(0, {str(files)!r}); sys.argv[1:] = ['people']; "
        "found = runpy.run_path('view/load_into_fiftyone.py', run_name='__main__'); "
        "import pathlib; samples = found['samples_of'](pathlib.Path('view')); "
        "print([(sample['embedding'].tolist(), sample['cluster'].label) for sample in samples])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "3 images; look at them with: fiftyone app launch people",
        "[([1.0, 0.0, 0.0], '0'), ([0.0, 1.0, 0.0], 'outlier'), ([0.0, 0.0, 1.0], '12')]",
    ]


@pytest.mark.parametrize(
    ("change", "arguments", "code", "message"),
    [
        (lambda root: (root / "c.jpg").unlink(), [], 3, "1 of 3 images of train.npy are not there, the first is c.jpg"),
        (
            lambda root: (root / "l.csv").write_text("path,cluster\na.jpg,0\n"),
            ["--labels", "l.csv"],
            3,
            "no label for 2 of 3",
        ),
        (
            lambda root: (root / "l.csv").write_text("a,b\n1,2\n"),
            ["--labels", "l.csv"],
            3,
            "l.csv:1: there is no column 'path'; the columns are 'a, b'",
        ),
        (lambda root: (root / "view").mkdir() or (root / "view" / "mine").touch(), [], 2, "view exists already"),
        (lambda root: None, ["--features", "no.npy"], 3, "no.npy does not exist"),
    ],
)
def test_what_is_missing_or_in_the_way_is_said(files, change, arguments, code, message, capsys):
    change(files)
    assert export(*arguments) == code
    assert message in capsys.readouterr().err
    assert not (files / "view" / "samples.json").exists()


def test_features_in_the_place_of_the_output_are_not_replaced(files, capsys):
    (files / "view").mkdir()
    (files / "train.npy").rename(files / "view" / "features.npy")
    before = (files / "view" / "features.npy").read_bytes()
    assert export("--features", "view/features.npy", "--overwrite") == 2
    assert "--out view/features.npy is an input of this command" in capsys.readouterr().err
    assert (files / "view" / "features.npy").read_bytes() == before


def test_options_of_the_two_kinds_of_export_are_not_mixed(capsys):
    assert main(["export", "--to", "fiftyone", "--out", "x"]) == 2
    assert "--to fiftyone needs --features" in capsys.readouterr().err
    assert main(["export", "--features", "a.npy", "--out", "x"]) == 2
    assert "go with --to fiftyone" in capsys.readouterr().err
