"""The safe reader stands on its own: numpy and the standard library, and the files that docs/weights.md names."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from pages import ROOT
from torch_writer import write_state_dict

from ppreid.base.errors import WeightsError
from ppreid.weights import safe

ALONE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in sys.stdlib_module_names | {"numpy", "ppreid"}:
            raise ImportError(f"{name} is not there")
sys.meta_path.insert(0, Blocked())
sys.path[:0] = sys.argv[1:3]
import json
from ppreid.weights import safe
assert safe.__file__.startswith(sys.argv[1])
shown = []
for path in sys.argv[3:]:
    try:
        content = safe.load(path)
        content = content.get("state_dict", content)
        shown.append({name: array.tolist() for name, array in content.items() if "." in name})
    except safe.WeightsError as error:
        shown.append(str(error))
print(json.dumps(shown))
"""
TENSORS = {"conv1.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bn1.bias": np.float32([0.5, -2])}


@pytest.fixture
def files(tmp_path):
    """One of paddle.save, one as of torch.save, and one that would run something."""
    paths = [tmp_path / "net.pdparams", tmp_path / "net.pth", tmp_path / "evil.pth"]
    paddle.save({name: paddle.to_tensor(array) for name, array in TENSORS.items()}, str(paths[0]))
    write_state_dict(paths[1], TENSORS)
    paths[2].write_bytes(b"\x80\x02cos\nsystem\n(S'touch sentinel'\ntR.")
    return paths


@pytest.fixture
def lifted_out(tmp_path):
    """The files that the page names, and nothing else, in a folder of their own."""
    text = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8").partition("## The safe reader alone")[2]
    names = re.findall(r"`(ppreid/[\w/]+\.py)`", text.partition("\n## ")[0])
    assert len(names) == 7
    for name in names:
        target = tmp_path / "other" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    return tmp_path / "other"


@pytest.mark.parametrize("where", ["the package", "lifted out"])
def test_both_kinds_of_file_are_read_without_paddle_and_pydantic(where, files, lifted_out, tmp_path):
    place = ROOT if where == "the package" else lifted_out
    # -S: an installed ppreid would come before files that lie in a folder without __init__.py
    packages = Path(np.__file__).parents[1]
    command = [sys.executable, "-S", "-c", ALONE, place, packages, *files]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    of_paddle, of_torch, refused = json.loads(done.stdout)
    assert of_paddle == of_torch == {name: array.tolist() for name, array in TENSORS.items()}
    assert "asks for os.system" in refused and not (tmp_path / "sentinel").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", r"neither a \.pdparams file nor one that torch.save wrote: it is a web page"),
        (b"\x02\0\0\0\0\0\0\0{}", "a safetensors file, which holds no code"),
        (b"something", "it begins with b'somethin"),
        (None, "there is no weights file"),
    ],
)
def test_other_files_are_named_for_what_they_are(content, message, tmp_path):
    path = tmp_path / "net.weights"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        safe.load(path)
