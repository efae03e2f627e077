import csv

import numpy as np
import pytest

from ppreid.cli import main


@pytest.fixture
def features_file(tmp_path):
    """Six groups of ten images in a .npz with identities."""
    rng = np.random.default_rng(0)
    features = np.repeat(rng.standard_normal((6, 16)), 10, axis=0) + 0.25 * rng.standard_normal((60, 16))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    path = tmp_path / "features.npz"
    np.savez(path, features=features, pids=np.repeat(np.arange(6), 10), paths=np.array([f"{i}.jpg" for i in range(60)]))
    return path


OPTIONS = ["-o", "labels.k1=10", "-o", "labels.k2=3", "-o", "labels.eps=0.5"]


def test_features_become_a_labels_file_and_statistics(features_file, tmp_path, capsys):
    output = tmp_path / "deep" / "labels.csv"
    assert main(["cluster", "--features", str(features_file), "--out", str(output), *OPTIONS]) == 0
    with open(output, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [f"{i}.jpg" for i in range(60)]
    assert [int(row["cluster"]) for row in rows] == np.repeat(np.arange(6), 10).tolist()
    out = capsys.readouterr().err
    assert "6 clusters, 0 outliers, largest 10" in out
    assert "ARI 1.000" in out


def test_a_sweep_prints_one_line_per_eps_and_writes_nothing(features_file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["cluster", "--features", str(features_file), "--sweep", "eps=0.2:0.6:0.2", *OPTIONS]) == 0
    captured = capsys.readouterr()
    lines = [line.split() for line in captured.out.splitlines()]
    header = next(index for index, line in enumerate(lines) if line[:2] == ["eps", "clusters"])
    assert [line[0] for line in lines[header + 2 :]] == ["0.200", "0.400", "0.600"]
    assert lines[-1][1] == "6"
    assert "recommended: labels.eps=0.2, since it separates all images best: silhouette" in captured.err
    assert sorted(tmp_path.rglob("*")) == before


def test_each_line_of_a_sweep_equals_a_clustering_at_that_eps(features_file, tmp_path, capsys):
    main(["cluster", "--features", str(features_file), "--sweep", "eps=0.1:0.3:0.1", *OPTIONS])
    swept = [line.split() for line in capsys.readouterr().out.splitlines()[-3:]]
    for line in swept:
        options = [*OPTIONS[:-1], f"labels.eps={line[0]}", "--out", str(tmp_path / "l.csv")]
        code = main(["cluster", "--features", str(features_file), *options])
        out = capsys.readouterr()
        if line[1] == "0":
            assert code == 5
        else:
            assert f"{line[1]} clusters, {line[2]} outliers" in out.err


def test_tracks_beside_the_features_are_clustered_as_wholes(features_file, tmp_path, capsys):
    data = np.load(features_file)
    np.save(tmp_path / "f.npy", data["features"])
    rows = [f"{i}.jpg,{i // 10},{i // 5},{i}" for i in range(60)]  # two tracks of each person
    (tmp_path / "f.csv").write_text("\n".join(["path,pid,track,time", *rows]) + "\n")
    own = [word for key in ("unit=track", "track.k1=3", "track.k2=1", "eps=0.6") for word in ("-o", f"labels.{key}")]
    command = ["cluster", "--features", str(tmp_path / "f.npy"), *own]
    assert main([*command, "--out", str(tmp_path / "labels.csv")]) == 0
    found = capsys.readouterr().err
    assert "tracks: 12, of 60 images" in found and "6 clusters, 0 outliers, largest 10" in found
    assert main([*command, "--sweep", "eps=0.6:0.6:0.1"]) == 0
    eps, clusters, outliers, _, largest, *_ = capsys.readouterr().out.splitlines()[-1].split()
    assert (eps, clusters, outliers, largest) == ("0.600", "6", "0", "2")  # in tracks


def test_a_checkpoint_can_be_clustered(tiny_config, tmp_path, capsys):
    assert main(["train", "-c", str(tiny_config), "-o", "solver.epochs=1"]) == 0
    output = tmp_path / "labels.csv"
    assert main(["cluster", str(tmp_path / "run"), "--last", "--out", str(output)]) == 0
    assert len(output.read_text().splitlines()) == 1 + 48
    assert "against the known identities" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--sweep", "eps=0.5"], 2, "--sweep takes eps=FIRST:LAST:STEP"),
        (["--sweep", "k1=1:2:1"], 2, "--sweep takes eps"),
        (["--sweep", "eps=0.5:0.3:0.1"], 2, "--sweep takes eps"),
        (["--sweep", "eps=0.3:0.5:0.1", "-o", "labels.clusterer=hdbscan"], 2, "nothing to sweep"),
        (["-o", "labels.eps=0.0001", "-o", "labels.min_samples=30"], 5, "all 60 images are outliers"),
        (["-o", "labels.distance=camera_jaccard"], 3, "no camera id"),
    ],
)
def test_wrong_requests_are_refused(features_file, tmp_path, arguments, code, message, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["cluster", "--features", str(features_file), "-o", "labels.k1=10", *arguments]) == code
    assert message in capsys.readouterr().err
