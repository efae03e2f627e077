import os
import platform

import pytest

from ppreid.doctor.machine import (
    check_cores,
    check_device,
    check_disk,
    check_memory,
    check_packages,
    check_processor,
    usable_cores,
)


def test_versions_of_what_is_installed_are_listed():
    (finding,) = check_packages()
    assert finding.level == "ok"
    for text in (f"Python {platform.python_version()}", "paddle ", "numpy ", "faiss ", "numba ", "PIL "):
        assert text in finding.text


def test_a_missing_and_a_broken_package_are_problems_with_the_name_to_install(tmp_path, monkeypatch):
    (tmp_path / "brokenpackage.py").write_text("raise RuntimeError('compiled for numpy 1\\nand more')\n")
    monkeypatch.syspath_prepend(tmp_path)
    packages = {"numpy": "numpy", "nopackage": "no-package", "brokenpackage": "broken-package"}
    fine, missing, broken = check_packages(packages)
    assert fine.level == "ok" and "numpy" in fine.text
    assert missing.level == broken.level == "problem"
    assert "No module named 'nopackage'" in missing.text and "install no-package" in missing.advice
    assert broken.text == "brokenpackage cannot be imported: RuntimeError: compiled for numpy 1"


@pytest.mark.parametrize(
    ("cpuinfo", "level", "text"),
    [
        ("model name\t: Big\nflags\t\t: fpu avx2 avx512f amx_bf16\n", "ok", "Big; avx2, avx512f, amx_bf16; oneDNN"),
        ("model name\t: Old\nflags\t\t: fpu sse2\n", "warning", "no AVX2"),
        ("Features\t: asimd\n", "ok", "unknown; instruction sets unknown"),
        (None, "ok", "unknown; instruction sets unknown"),
    ],
)
def test_instruction_sets_are_read_from_the_kernel(tmp_path, cpuinfo, level, text):
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    finding = check_processor(onednn=True, cpuinfo=tmp_path / "cpuinfo")
    assert finding.level == level
    assert text in finding.text


def test_the_processor_is_that_of_the_first_core(tmp_path):
    (tmp_path / "cpuinfo").write_text("model name: A\nflags: avx2\n\nmodel name: B\nflags: avx2 avx512f\n")
    assert "A; avx2; oneDNN in paddle: no" in check_processor(onednn=False, cpuinfo=tmp_path / "cpuinfo").text


def test_more_workers_than_cores_are_a_warning():
    assert check_cores(num_workers=4, usable=4).level == "ok"
    assert check_cores(num_workers=5, usable=4).advice.endswith("-o data.num_workers=4")
    assert usable_cores() >= 1


@pytest.mark.parametrize(
    ("name", "gpus", "built_for_gpu", "has_driver", "level", "advice"),
    [
        ("auto", ["A"], True, True, "ok", ""),
        ("auto", [], False, False, "ok", ""),
        ("cpu", [], False, True, "ok", ""),
        ("gpu:1", ["A", "B"], True, True, "ok", ""),
        ("auto", [], False, True, "warning", "requirements-gpu.txt"),
        ("cpu", ["A"], True, True, "warning", "device=auto"),
        ("gpu", [], False, True, "problem", "requirements-gpu.txt"),
        ("gpu", [], True, False, "problem", "nvidia-smi"),
        ("gpu:1", ["A"], True, True, "problem", "nvidia-smi"),
    ],
)
def test_the_configured_device_is_compared_with_those_found(name, gpus, built_for_gpu, has_driver, level, advice):
    finding = check_device(name, gpus=gpus, built_for_gpu=built_for_gpu, has_driver=has_driver)
    assert finding.level == level
    assert advice in finding.advice


def test_memory_below_the_need_is_a_warning_with_both_numbers():
    finding = check_memory(needed=3 * 10**9, available=2 * 10**9, purpose="labels", advice="lower k1")
    assert (finding.level, finding.text, finding.advice) == (
        "warning",
        "labels: about 3.0 GB of 2.0 GB available memory",
        "lower k1",
    )
    assert check_memory(needed=5, available=5, purpose="labels", advice="").level == "ok"
    assert check_memory(needed=5, available=None, purpose="labels", advice="").level == "ok"


def test_the_disk_is_that_of_the_nearest_folder_that_exists_and_nothing_is_left_there(tmp_path):
    assert check_disk(tmp_path / "output" / "first", needed=10**6).level == "ok"
    assert check_disk(tmp_path / "output" / "first", needed=10**18).level == "problem"
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path):
    (tmp_path / "output").write_text("a file\n")
    finding = check_disk(tmp_path / "output", needed=0)
    assert finding.level == "problem"
    assert "cannot be written: Not a directory" in finding.text
