"""Shards as tasks of Ray: the same files, and workers that are killed are replaced."""

import os
import signal
import sys

import numpy as np
import pytest

from ppreid.base.errors import DataError
from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.disk.shards import all_shards
from ppreid.neighbours import row_search, tiles
from ppreid.processes import ray_shards
from ppreid.verbs import cluster_shards

OPTIONS = ["labels.k1=10", "labels.k2=3", "labels.eps=0.5", "labels.min_samples=3"]
OVERRIDES = [word for key in OPTIONS for word in ("-o", key)]


@pytest.fixture
def features(tmp_path, clustered_features, monkeypatch):
    """A file of 100 features in the current folder, and blocks of 16 rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tiles, "ROWS_PER_TILE", 16)
    for owner in (row_search, cluster_shards):
        monkeypatch.setattr(owner, "ROWS_PER_SHARE", 16)
    np.save("f.npy", clustered_features(100, num_ids=12, spread=0.4)[0])
    return tmp_path / "f.npy"


@pytest.mark.slow
def test_labels_are_those_of_one_call_though_a_worker_is_killed(features, tmp_path, checkout, monkeypatch):
    import ray

    cfg, work = load_config(checkout / "configs" / "base.yaml", OPTIONS), tmp_path / "f.shards"
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # Ray's workers come behind everything else that runs

    def make(shard):  # in a worker, which has none of the changes of this test
        from ppreid.neighbours import row_search, tiles

        tiles.ROWS_PER_TILE = row_search.ROWS_PER_SHARE = 16
        from ppreid.verbs import cluster_shards

        if shard.number == 2 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return cluster_shards.cluster_shard(cfg, features, shard, work)

    def wrong(shard):
        raise DataError(f"shard {shard} is wrong")

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        ray_shards.run_on_ray(make, 3, address="local", tasks_per_machine=2)
        with pytest.raises(DataError, match=r"^shard 1 of 1 is wrong$"):
            ray_shards.run_on_ray(wrong, 1, address="local")
    finally:
        ray.shutdown()
    assert (tmp_path / "killed").exists()
    command = ["cluster", "--features", "f.npy", *OVERRIDES]
    assert main([*command, "--merge", "3", "--out", "merged.csv"]) == main([*command, "--out", "whole.csv"]) == 0
    assert (tmp_path / "merged.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def one_after_the_other(make, count, *, address, plugins):
    """Instead of Ray: the shards here, until all are done."""
    assert (address, plugins) == ("local", [])
    waiting = all_shards(count)
    while waiting:
        waiting = [shard for shard in waiting if make(shard=shard) is False]


def test_the_commands_make_their_shards_and_merge_them(features, tiny_config, monkeypatch, tmp_path):
    monkeypatch.setattr(ray_shards, "run_on_ray", one_after_the_other)
    monkeypatch.setattr(cluster_shards, "run_on_ray", one_after_the_other)
    command = ["cluster", "--features", "f.npy", *OVERRIDES]
    assert main([*command, "--merge", "3", "--ray", "local", "--out", "merged.csv"]) == 0
    assert main([*command, "--out", "whole.csv"]) == 0
    assert (tmp_path / "merged.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    command = ["extract", "-c", str(tiny_config), "--features", "colour", "--part", "train"]
    assert main([*command, "--merge", "2", "--ray", "local", "--out", "m.npy"]) == 0
    assert main([*command, "--out", "w.npy"]) == 0
    assert (tmp_path / "m.npy").read_bytes() == (tmp_path / "w.npy").read_bytes()


@pytest.mark.parametrize(
    "command", [["cluster", "--features", "f.npy"], ["extract", "--part", "train", "--out", "x.npy"]]
)
def test_without_ray_or_a_number_of_shards(command, features, tiny_config, monkeypatch, capsys):
    command = [*command, "-c", str(tiny_config), "--ray", "local"]
    assert main(command) == 2
    assert "--ray makes the shards that --merge N puts together; give it as well" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*command, "--merge", "2"]) == 2
    assert "--ray needs ray, which cannot be imported" in (text := capsys.readouterr().err)
    assert "pip install 'ray>=2.9'" in text
