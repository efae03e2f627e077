"""Numbers that no trained network has: a file with one of them gives plausible features, and wrong ones."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ppreid.base.errors import WeightsError

MAX_NAMED = 3  # of the tensors that are not usable
_VARIANCE = re.compile(r"(^|\.)(running_var|_variance)$")  # of torch and of paddle, in every naming


def check_numbers(path: str | Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Refuse tensors that hold NaN, infinities, or variances below zero.

    A single NaN may go unnoticed otherwise: a ReLU on the CPU makes zero of it, and all images get nearly the same
    feature. Numbers are judged as the float32 that the network computes in.

    Args:
        path: where they are from, for the message.
        tensors: arrays by name, as in the file; those of integers are not looked at.

    Raises:
        WeightsError: with the number of such tensors, the first names and how many numbers of each.
    """
    bad = {name: problem for name, array in tensors.items() if (problem := _problem(name, array))}
    if not bad:
        return
    first = "; ".join(f"{name}: {problem}" for name, problem in list(bad.items())[:MAX_NAMED])
    rest = f"; and {len(bad) - MAX_NAMED} more tensors" if len(bad) > MAX_NAMED else ""
    raise WeightsError(
        f"{path} was refused: {len(bad)} of its {len(tensors)} tensors hold numbers that no trained network has. "
        f"{first}{rest}. The training that wrote it diverged, or the file was damaged or converted to a type that is "
        "too small: take an earlier checkpoint, or fetch or write it again, in float32"
    )


def _problem(name: str, array: np.ndarray) -> str:
    """What is wrong with a tensor; "" if nothing is."""
    if array.dtype.kind != "f":
        return ""
    with np.errstate(over="ignore"):  # of float64 to float32: it becomes infinite, which is what is looked for
        numbers = array.astype(np.float32, copy=False)
    counts = {"NaN": np.isnan(numbers).sum(), "infinite": np.isinf(numbers).sum()}
    if array.dtype == np.float16:
        # a cast that clips leaves the largest float16 where the number was larger
        counts["65,504, where float16 ends"] = (np.abs(numbers) == np.finfo(np.float16).max).sum()
    if _VARIANCE.search(name):
        counts["negative, which a variance cannot be"] = (numbers < 0).sum()
    wrong = [f"{count:,} of {array.size:,} are {what}" for what, count in counts.items() if count]
    return ", ".join(wrong)
