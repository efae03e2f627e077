import collections
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppreid.base.errors import ClusteringError, DataError, PpreidWarning
from ppreid.datasets.sampler import epoch_batches, identity_batches

GOLDENS = Path(__file__).parent.parent / "data" / "goldens"


def rng(seed=0):
    return np.random.default_rng(seed)


def assert_block_is_legal(block, labels, camids):
    """The rules for one block of K images: written out in loops, as an oracle."""
    anchor, partners, images = block[0], block[1:], len(block)
    own = [i for i in range(len(labels)) if labels[i] == labels[anchor]]
    other_cameras = [i for i in own if camids[i] != camids[anchor]]
    candidates = other_cameras or [i for i in own if i != anchor] or [anchor]
    assert all(i in candidates for i in partners)
    if len(candidates) >= images:
        assert len(set(partners)) == len(partners)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 6), st.integers(-1, 3)), min_size=1, max_size=40),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(0, 99),
)
@pytest.mark.filterwarnings("ignore::ppreid.base.errors.PpreidWarning")
def test_every_batch_consists_of_complete_legal_blocks(rows, identities, images, seed):
    labels, camids = np.array(rows).T
    if labels.max() < 0:
        return
    clusters = len(set(labels.tolist()) - {-1})
    per_batch = min(identities, clusters)
    batches = list(identity_batches(labels, camids, identities=identities, images=images, rng=rng(seed)))
    assert len(batches) == clusters // per_batch
    drawn = collections.Counter()
    for batch in batches:
        assert len(batch) == per_batch * images and all(type(index) is int for index in batch)
        for start in range(0, len(batch), images):
            block = batch[start : start + images]
            assert len({int(labels[i]) for i in block}) == 1 and labels[block[0]] >= 0
            assert_block_is_legal(block, labels, camids)
            drawn[int(labels[block[0]])] += 1
    assert set(drawn.values()) <= {1}  # a cluster appears at most once in a pass


@pytest.mark.parametrize("images", [4, 16])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_blocks_have_the_structure_of_the_released_sampler(images, seed):
    with np.load(GOLDENS / "sampler_example.npz", allow_pickle=False) as data:
        pids, cams, released = data["pid"], data["cam"], data[f"idx_ni{images}_s{seed}"].tolist()
        order = data[f"pidperm_ni{images}_s{seed}"].tolist()
    sizes = collections.Counter(pids.tolist())
    for pid in order:  # the released stream obeys the oracle; a one-image identity gives one index there
        block = released[: 1 if sizes[pid] == 1 else images]
        released = released[len(block) :]
        assert set(pids[block]) == {pid}
        assert_block_is_legal(block, pids, cams)
    assert not released
    (batch,) = identity_batches(pids, cams, identities=12, images=images, rng=rng(seed))
    blocks = np.array(batch).reshape(12, images)
    assert sorted(pids[blocks[:, 0]]) == sorted(order)
    for block in blocks.tolist():
        assert_block_is_legal(block, pids, cams)
        if sizes[pids[block[0]]] == 1:
            assert block == [block[0]] * images


def test_anchors_and_partners_are_uniform():
    labels, camids = np.zeros(6, int), np.array([0, 0, 1, 1, 2, 2])
    generator = rng()
    blocks = np.array(
        [next(identity_batches(labels, camids, identities=1, images=2, rng=generator)) for _ in range(6000)]
    )
    np.testing.assert_allclose(np.bincount(blocks[:, 0]) / 6000, 1 / 6, atol=0.02)
    partners = blocks[blocks[:, 0] == 0, 1]
    np.testing.assert_allclose(np.bincount(partners, minlength=6)[2:] / len(partners), 1 / 4, atol=0.05)


def test_every_pass_has_an_order_of_its_own_in_which_every_cluster_is_anywhere_or_left_out():
    labels, camids = np.repeat(np.arange(5), 2), np.arange(10) % 2
    batches = list(epoch_batches(labels, camids, identities=2, images=1, num_batches=2 * 3000, rng=rng()))
    places = labels[np.array(batches)].reshape(3000, 4)  # a pass is two batches of two clusters; the fifth is left out
    for place in places.T:
        np.testing.assert_allclose(np.bincount(place, minlength=5) / 3000, 1 / 5, atol=0.04)
    repeated = (places[1:] == places[:-1]).all(axis=1).mean()
    assert repeated == pytest.approx(1 / 120, abs=0.01)  # orders of five clusters, four places of which show


def test_with_one_candidate_less_than_images_partners_are_drawn_with_replacement():
    labels, camids = np.zeros(4, int), np.array([0, 1, 1, 1])  # three candidates for the three partners of image 0
    generator = rng()
    blocks = np.array(
        [next(identity_batches(labels, camids, identities=1, images=4, rng=generator)) for _ in range(4000)]
    )
    partners = np.sort(blocks[blocks[:, 0] == 0, 1:], axis=1)
    all_different = (np.diff(partners, axis=1) > 0).all(axis=1).mean()
    assert all_different == pytest.approx(6 / 27, abs=0.05)  # 3! of 3^3


def test_without_cameras_a_cluster_gives_different_images():
    labels, camids = np.repeat([0, 1, 2], 5), np.full(15, -1)
    for batch in epoch_batches(labels, camids, identities=3, images=4, num_batches=20, rng=rng()):
        assert len(set(batch)) == 12


def test_an_epoch_restarts_passes_and_has_the_exact_number_of_batches():
    labels, camids = np.repeat(np.arange(7), 3), np.arange(21) % 3
    batches = list(epoch_batches(labels, camids, identities=3, images=2, num_batches=11, rng=rng(5)))
    assert len(batches) == 11
    first_pass = labels[batches[0] + batches[1]].tolist()
    assert len(set(first_pass)) == 6  # two batches of three clusters, the seventh is left out
    again = list(epoch_batches(labels, camids, identities=3, images=2, num_batches=11, rng=rng(5)))
    other = list(epoch_batches(labels, camids, identities=3, images=2, num_batches=11, rng=rng(6)))
    assert batches == again and batches != other
    prefix = list(epoch_batches(labels, camids, identities=3, images=2, num_batches=4, rng=rng(5)))
    assert prefix == batches[:4]


def test_too_few_clusters_fill_every_batch_with_one_warning_per_epoch():
    labels, camids = np.array([0, 0, 4, 4, -1]), np.arange(5)
    with pytest.warns(PpreidWarning, match="2 clusters are fewer than the 16 identities") as caught:
        batches = list(epoch_batches(labels, camids, identities=16, images=4, num_batches=5, rng=rng()))
    assert len(caught) == 1 and len(batches) == 5
    assert all(len(batch) == 8 and set(labels[batch]) == {0, 4} for batch in batches)


def test_no_cluster_is_an_error_that_says_what_to_change():
    with pytest.raises(ClusteringError, match=r"all 3 images are outliers; raise labels\.eps"):
        epoch_batches(np.full(3, -1), np.zeros(3), identities=2, images=2, num_batches=1, rng=rng())


def test_arguments_must_fit():
    with pytest.raises(DataError, match=r"labels have shape \(3,\) but camids \(2,\)"):
        identity_batches(np.zeros(3, int), np.zeros(2), identities=1, images=1, rng=rng())
    with pytest.raises(DataError, match="0 identities x 4 images"):
        identity_batches(np.zeros(3, int), np.zeros(3), identities=0, images=4, rng=rng())
