import warnings

import pytest

from ppreid.engine.resources import available_memory, warn_if_labels_do_not_fit
from ppreid.errors import PpreidWarning


def test_available_memory_is_read_from_the_system(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:  100 kB\nMemAvailable:   40 kB\n")
    assert available_memory(tmp_path / "meminfo") == 40 * 1024
    assert available_memory(tmp_path / "nothing") is None
    (tmp_path / "old").write_text("MemTotal:  100 kB\n")
    assert available_memory(tmp_path / "old") is None


def test_a_warning_names_what_is_needed_and_what_there_is():
    with pytest.warns(PpreidWarning, match=r"1,000,000 images with 30 neighbours need about 3\.3 GB .* 2\.0 GB are"):
        warn_if_labels_do_not_fit(1_000_000, neighbours=30, available=2_000_000_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_labels_do_not_fit(1_000_000, neighbours=30, available=4_000_000_000)
        warn_if_labels_do_not_fit(1_000_000, neighbours=30, available=None)
