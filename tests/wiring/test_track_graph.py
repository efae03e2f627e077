import itertools
import logging

import numpy as np
import pytest

from ppreid import wiring
from ppreid.base.errors import ConfigError, DataError, PpreidWarning
from ppreid.base.progress import Stopwatch
from ppreid.base.records import ImageRecord
from ppreid.clustering.camera_jaccard import camera_jaccard_distance
from ppreid.clustering.jaccard import jaccard_distance
from ppreid.clustering.labels import dbscan_labels
from ppreid.clustering.tracks import node_labels, separated_labels
from ppreid.config.load import load_config

TRACKS = np.repeat(np.arange(10), 4)


def labels_config(*keys):
    return load_config("demo.yaml", ["labels.eps=0.6", *keys]).labels


@pytest.fixture
def features():
    """Unit features of 5 people, each in two tracks of 4 images; the rows of a track are 4 in a row."""
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.standard_normal((5, 16)), 8, axis=0) + 0.2 * rng.standard_normal((40, 16))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def records(tracks=TRACKS, time=lambda i: float(i)):
    return tuple(ImageRecord(f"{i}.jpg", -1, 0, int(track), time(i)) for i, track in enumerate(tracks))


def labels_of(cfg, images, features):
    graph = wiring.track_graph(cfg, images)
    distances = wiring.distance(cfg, 1, graph=graph)(features, np.zeros(len(features), int), stopwatch=Stopwatch())
    return graph.clusterer(wiring.clusterer(cfg))(distances)


def test_plain_clustering_looks_at_no_track():
    assert wiring.track_graph(labels_config(), records()) is None


def test_tracks_are_clustered_with_numbers_of_their_own(features):
    cfg = labels_config("labels.unit=track", "labels.track.k1=3", "labels.track.k2=1", "labels.track.min_images=4")
    means = features.reshape(10, 4, 16).mean(axis=1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    own = dbscan_labels(jaccard_distance(means, k1=3, k2=1, max_distance=0.6), eps=0.6, min_samples=2)
    wanted = node_labels(np.empty(0), nodes=TRACKS, clusterer=lambda _: own, min_images=4)
    assert labels_of(cfg, records(), features).tolist() == wanted.tolist()
    assert len(set(wanted.tolist())) > 1


def test_without_tracks_every_image_is_a_node_and_labels_are_those_of_images(features):
    images = (*records(np.full(39, -1)), ImageRecord("last.jpg", -1, 0, 7, 0.0))
    keys = ["labels.k1=8", "labels.k2=3", "labels.min_samples=4"]
    as_images = labels_config(*keys)
    distances = wiring.distance(as_images, 1)(features, np.zeros(40, int), stopwatch=Stopwatch())
    own = ["labels.unit=track", *(key.replace("labels.", "labels.track.") for key in keys)]
    found = labels_of(labels_config(*own), images, features)
    assert found.tolist() == wiring.clusterer(as_images)(distances).tolist()
    assert found.max() > 0


@pytest.mark.parametrize("unit", ["image", "track"])
def test_tracks_that_were_seen_at_once_are_in_different_clusters(features, unit, caplog):
    keys = ["labels.cannot_link=true", f"labels.unit={unit}", "labels.k1=16", "labels.track.k1=6"]
    cfg = labels_config(*keys, "labels.eps=0.9", "labels.min_samples=2")
    free = labels_config(*keys[1:], "labels.eps=0.9", "labels.min_samples=2")
    images = records(time=lambda i: i % 4 if i < 8 else 100.0 * i)  # tracks 0 and 1 are the same person and at once
    with caplog.at_level(logging.INFO, "ppreid"):
        parted = labels_of(cfg, images, features)
    assert "tracks: 10, of 40 images; 1 pairs were seen at once" in caplog.text
    assert not set(parted[:4]) & set(parted[4:8]) - {-1}
    graph = wiring.track_graph(cfg, images)
    distances = wiring.distance(cfg, 1, graph=graph)(features, np.zeros(40, int), stopwatch=Stopwatch())
    joined = wiring.clusterer(free)(distances)
    groups, nodes = (TRACKS, 40) if unit == "image" else (np.arange(10), 10)
    assert joined[0] == joined[nodes // 10] >= 0
    wanted = separated_labels(joined, distances, np.array([[0, 1]]), groups=groups, min_samples=2, eps=0.9)
    assert parted.tolist() == (wanted if unit == "image" else wanted[TRACKS]).tolist()


def test_cameras_that_share_a_clock_keep_people_apart_who_are_seen_at_once():
    images = [record._replace(camid=record.track % 2) for record in records(time=lambda i: i % 4)]  # all at once
    cfg = labels_config("labels.cannot_link=true")
    own, shared = (wiring.track_graph(cfg, images, shared_clock=is_shared).apart for is_shared in (False, True))
    every = {(a, b) for a, b in itertools.combinations(range(10), 2)}
    assert set(map(tuple, shared.tolist())) == every
    assert set(map(tuple, own.tolist())) == {(a, b) for a, b in every if (a - b) % 2 == 0}


def test_what_needs_tracks_or_times_says_so_where_there_are_none():
    for key in ("unit=track", "cannot_link=true"):
        with pytest.raises(DataError, match="needs images whose track is known, and there is none"):
            wiring.track_graph(labels_config(f"labels.{key}"), records(np.full(3, -1)))
    with pytest.raises(DataError, match=r"labels\.cannot_link needs the times of tracks"):
        wiring.track_graph(labels_config("labels.cannot_link=true"), records(time=lambda i: -1.0))
    cfg = load_config("demo.yaml", ["batch.across=tracks"])
    with pytest.raises(DataError, match=r"batch\.across: tracks needs images whose track is known"):
        wiring.train_loader(records(np.full(3, -1)), cfg)


def test_batches_can_be_drawn_across_tracks():
    keys = ["batch.across=tracks", "batch.identities=2", "batch.images=2", "solver.iters=20", "data.num_workers=0"]
    loader = wiring.train_loader(records(np.arange(8) % 4), load_config("demo.yaml", keys))
    assert loader._across.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["labels.track.k1=2", "labels.track.k2=3"], r"labels\.track\.k2 is 3 and labels\.track\.k1 is 2"),
        (["labels.cannot_link=true", "data.clock=track"], r"whose times compare, .*data\.clock is track"),
        (["labels.cannot_link=true", "data.name=mars_folder"], r"whose times compare, .*data\.name is mars_folder"),
    ],
)
def test_what_does_not_go_together_is_refused(keys, said):
    with pytest.raises(ConfigError, match=said):
        load_config("demo.yaml", keys)


def test_cameras_are_those_of_tracks_and_have_as_few_neighbours_as_there_are_tracks(features):
    cfg = labels_config("labels.unit=track", "labels.distance=camera_jaccard", "labels.camera.max_share=0.4")
    cameras = np.repeat([0, 1], 20)  # 5 tracks each: 1 of the other 4, and 2 of the 5 in the other camera
    graph = wiring.track_graph(cfg, records())
    with pytest.warns(PpreidWarning, match="k1_intra 5 becomes 1 for 10 of 10 images.*; k1_inter 20 becomes 2 for 10"):
        found = wiring.distance(cfg, 1, graph=graph)(features, cameras, stopwatch=Stopwatch())
    means = features.reshape(10, 4, 16).mean(axis=1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    few = {"k1_intra": 1, "k1_inter": 2, "k2_intra": 1, "k2_inter": 1}
    expected = camera_jaccard_distance(means, cameras[::4], max_distance=0.6, **few)
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-6)
