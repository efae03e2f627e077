import warnings

import pytest

from ppreid.base.errors import PpreidWarning
from ppreid.processes.device import available_memory, group_memory, warn_if_labels_do_not_fit


def test_available_memory_is_read_from_the_system(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:  100 kB\nMemAvailable:   40 kB\n")
    no_groups = tmp_path / "no groups"
    assert available_memory(tmp_path / "meminfo", no_groups) == 40 * 1024
    assert available_memory(tmp_path / "nothing", no_groups) is None
    (tmp_path / "old").write_text("MemTotal:  100 kB\n")
    assert available_memory(tmp_path / "old", no_groups) is None


def group(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_the_limits_of_all_groups_above_are_found_in_version_2(tmp_path):
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    membership.write_text("0::/job/step\n")
    group(root / "job" / "step", memory__max="max", memory__current=10)
    group(root / "job", memory__max=1000, memory__current=700, memory__stat="anon 600\ninactive_file 50")
    assert group_memory(membership, root) == [350]
    group(root / "job" / "step", memory__max=100, memory__current=130)
    assert group_memory(membership, root) == [0, 350]
    assert group_memory(tmp_path / "nothing", root) == []


def test_the_limits_of_version_1_are_found_and_no_limit_is_none(tmp_path):
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    membership.write_text("9:name=systemd:/\n4:cpu,memory:/docker/1f2\n0::/\n")
    top = {"memory__limit_in_bytes": 2**63 - 4096, "memory__usage_in_bytes": 500}
    group(root / "memory", **top)
    assert group_memory(membership, root) == []
    # in a container: its own group is the top, the path is that of the machine
    group(root / "memory", **top | {"memory__limit_in_bytes": 900}, memory__stat="cache 9\ntotal_inactive_file 100")
    assert group_memory(membership, root) == [500]


def test_a_warning_names_what_is_needed_and_what_there_is():
    with pytest.warns(PpreidWarning, match=r"1,000,000 images with 30 neighbours need about 3\.3 GB .* 2\.0 GB are"):
        warn_if_labels_do_not_fit(1_000_000, neighbours=30, available=2_000_000_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_labels_do_not_fit(1_000_000, neighbours=30, available=4_000_000_000)
        warn_if_labels_do_not_fit(1_000_000, neighbours=30, available=None)
