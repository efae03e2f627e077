"""Writes the PyTorch files beside it; needs torch (2.13 wrote the committed ones), which the tests do not.

python make_files.py
"""

import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent


class RunsCommand:
    """Pickles to a call of os.system."""

    def __reduce__(self):
        return os.system, ("touch sentinel",)


def tensors():
    """Tensors of every kind that a state dict may hold; tests/weights/test_torch_files.py has the same in numpy."""
    numbers = torch.arange(12.0)
    return OrderedDict(
        float32=numbers.reshape(3, 4),
        transposed=numbers.reshape(3, 4).T,  # the same storage as float32
        slice=numbers[2:9:3],
        expanded=torch.tensor([[1.0], [2.0]]),
        float64=torch.tensor([0.1]).double(),
        float16=torch.tensor([1.5, -2.0]).half(),
        bfloat16=torch.tensor([1.0, -3.140625, 1e30]).bfloat16(),
        int64=torch.tensor([-1, 2**60]),
        int32=torch.tensor([7]).int(),
        uint8=torch.tensor([0, 255], dtype=torch.uint8),
        bool=torch.tensor([True, False]),
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 4),
        parameter=torch.nn.Parameter(torch.ones(2)),
    )


def main():
    """Each file in the archive layout and in the one before it."""
    norm = torch.nn.BatchNorm1d(3)
    with torch.no_grad():
        norm(torch.arange(6.0).reshape(2, 3))
    checkpoint = {"state_dict": norm.state_dict(), "epoch": 3, "best_mAP": np.float64(0.847)}
    malicious = {"state_dict": {"weight": torch.ones(3)}, "extra": [{"deep": RunsCommand()}]}
    for layout, is_archive in (("archive", True), ("legacy", False)):
        for name, content in (("tensors", tensors()), ("checkpoint", checkpoint), ("malicious", malicious)):
            torch.save(content, HERE / f"{name}_{layout}.pth", _use_new_zipfile_serialization=is_archive)


if __name__ == "__main__":
    main()
