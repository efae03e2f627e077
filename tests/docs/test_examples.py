import runpy

import numpy as np
import pytest


@pytest.fixture(scope="module")
def example(checkout):
    return lambda name: runpy.run_path(str(checkout / "examples" / f"{name}.py"))


def test_ise_by_hand_trains_and_evaluates(example, tmp_path, capsys):
    history = example("ise_by_hand")["main"](tmp_path / "people", epochs=1, steps=2, people=4)
    assert len(history) == 2
    assert all(0 < mean_ap <= 1 for mean_ap in history)
    assert history[0] != history[1]  # something was learned, or unlearned
    assert "epoch 1: " in capsys.readouterr().out


def test_features_from_anywhere_are_clustered(example):
    rng = np.random.default_rng(0)
    people = np.repeat(rng.normal(size=(5, 16)), 20, axis=0)  # 5 directions, 20 rows of any length each
    features = (people + 0.05 * rng.normal(size=people.shape)) * rng.uniform(1, 9, (100, 1))
    labels = example("cluster_features")["pseudo_labels"](features)
    assert np.array_equal(labels, np.repeat(labels[::20], 20))
    assert sorted(labels[::20]) == [0, 1, 2, 3, 4]


def test_the_readme_links_every_example(checkout):
    readme = (checkout / "README.md").read_text(encoding="utf-8")
    assert {file.name for file in (checkout / "examples").glob("*.py")} == {
        name for name in ("cluster_features.py", "ise_by_hand.py", "predict_onnx.py") if f"examples/{name}" in readme
    }
