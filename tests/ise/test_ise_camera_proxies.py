"""Proxies of clusters in other cameras: how they are made, and what they cost."""

import json
import math
from pathlib import Path

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppreid.base.errors import PpreidWarning, WeightsError
from ppreid.contracts import Clustering, StepBatch
from ppreid.ise.camera_proxies import CameraProxies, camera_proxies, inter_camera_losses

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "goldens" / "camera_proxies.npz")
META = json.loads(str(GOLDEN["meta"]))
CASES = list(META["cases"])


def golden(case, name):
    return GOLDEN[f"{case}_{name}"] if f"{case}_{name}" in GOLDEN else GOLDEN[name]


def proxies_oracle(features, labels, camids):
    found = []
    for label, camera in sorted({pair for pair in zip(labels, camids, strict=True) if pair[0] >= 0}):
        own = [f for f, *pair in zip(features, labels, camids, strict=True) if tuple(pair) == (label, camera)]
        mean = np.mean(np.array(own, np.float64), axis=0)
        found.append((mean / np.linalg.norm(mean), label, camera))
    return found


def losses_oracle(rows, labels, camids, proxies, proxy_labels, proxy_camids, *, temperature, num_negatives):
    """Image after image, proxy after proxy, as the specification says it."""
    losses = []
    for row, label, camera in zip(rows.astype(np.float64), labels, camids, strict=True):
        unit, positives, negatives = row / np.linalg.norm(row), [], []
        for proxy, own_label, own_camera in zip(proxies.astype(np.float64), proxy_labels, proxy_camids, strict=True):
            similarity = unit @ proxy / temperature
            if own_label != label:
                negatives.append(similarity)
            elif own_camera != camera:
                positives.append(similarity)
        if not positives:
            losses.append(0.0)
            continue
        used = positives + sorted(negatives, reverse=True)[:num_negatives]
        highest = max(used)
        total = highest + math.log(sum(math.exp(value - highest) for value in used))
        losses.append(total - sum(positives) / len(positives))
    return np.array(losses)


def test_proxies_are_the_means_by_cluster_and_camera():
    features, labels, camids = (GOLDEN[name] for name in ("features", "labels", "cameras"))
    proxies, proxy_labels, proxy_camids = camera_proxies(features, labels, camids)
    np.testing.assert_allclose(proxies, GOLDEN["proxies"], atol=1e-6)
    np.testing.assert_array_equal(proxy_labels, GOLDEN["proxy_labels"])
    np.testing.assert_array_equal(proxy_camids, GOLDEN["proxy_cameras"])
    assert proxies.dtype == np.float32 and proxy_labels.dtype == proxy_camids.dtype == np.int64
    for found, (mean, label, camera) in zip(
        zip(proxies, proxy_labels, proxy_camids, strict=True), proxies_oracle(features, labels, camids), strict=True
    ):
        np.testing.assert_allclose(found[0], mean, atol=1e-6)
        assert (found[1], found[2]) == (label, camera)


# of a loss of 4, whose similarities go up to 14, float32 has 6 digits
@pytest.mark.parametrize(("kind", "exact"), [("float32", 1e-6), ("float64", 1e-12)])
@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_are_the_corrected_ones(case, kind, exact):
    rows = paddle.to_tensor(golden(case, "rows"), dtype=kind, stop_gradient=False)
    images = [golden(case, name) for name in ("labels", "cameras")]
    proxies = [golden(case, name) for name in ("proxies", "proxy_labels", "proxy_cameras")]
    number = META["cases"][case]["num_negatives"]
    losses = inter_camera_losses(rows, *images, paddle.to_tensor(proxies[0]), *proxies[1:], num_negatives=number)
    assert losses.mean().item() == pytest.approx(float(golden(case, "loss")), abs=exact)
    np.testing.assert_allclose(losses.numpy(), golden(case, "row_losses"), rtol=exact, atol=exact)
    oracle = losses_oracle(rows.numpy(), *images, *proxies, temperature=META["temperature"], num_negatives=number)
    np.testing.assert_allclose(losses.numpy(), oracle, rtol=exact, atol=exact)
    losses.mean().backward()
    wanted = golden(case, "grad")
    atol = 10 * exact * max(np.abs(wanted).max(), 1e-9)
    np.testing.assert_allclose(rows.grad.numpy(), wanted, rtol=exact, atol=atol)


def test_the_case_that_is_counted_by_hand(at_angles):
    proxies, rows = at_angles(0, 30, 90, 120, 200, 240), at_angles(5, 100, 210)
    of_proxies = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 2, 1, 2])
    losses = inter_camera_losses(
        paddle.to_tensor(rows),
        *(np.array([0, 1, 2]), np.array([0, 0, 3])),
        *(paddle.to_tensor(proxies), *of_proxies),
        num_negatives=2,
    )
    np.testing.assert_allclose(losses.numpy(), [8.225e-6, 1.9596e-4, 1.016713], atol=1e-6)
    assert losses.mean().item() == pytest.approx(0.338972, abs=1e-6)


def test_without_a_cluster_in_two_cameras_nothing_is_lost_and_no_gradient_flows(unit_rows):
    rows = paddle.to_tensor(unit_rows(4, 6), stop_gradient=False)
    labels, camids = np.array([0, 1, 2, 2]), np.array([5, 5, 9, 9])
    proxies = camera_proxies(rows.numpy(), labels, camids)
    losses = inter_camera_losses(rows, labels, camids, paddle.to_tensor(proxies[0]), *proxies[1:])
    losses.sum().backward()
    assert losses.tolist() == [0.0] * 4 and not rows.grad.any().item()


@given(data=st.data(), size=st.integers(1, 12), number=st.sampled_from([1, 3, 50]))
@settings(max_examples=30, deadline=None)
def test_losses_equal_the_loops_whatever_names_and_order_are(data, size, number):
    def draw(values, count):
        return np.array(data.draw(st.lists(st.sampled_from(values), min_size=count, max_size=count)))

    rng = np.random.default_rng(size)
    everyone = rng.standard_normal((30, 6)).astype(np.float32)
    everyone /= np.linalg.norm(everyone, axis=1, keepdims=True)
    known = draw([-1, 0, 1, 2], 29), draw([0, 7, 31], 29)
    proxies = camera_proxies(everyone, np.append(known[0], 1), np.append(known[1], 7))
    rows, labels, camids = (
        rng.standard_normal((size, 6)).astype(np.float32),
        draw([0, 1, 2], size),
        draw([0, 7, 8], size),
    )

    def losses(order, rename):
        arguments = paddle.to_tensor(rows), labels, rename(camids), paddle.to_tensor(proxies[0][order])
        found = inter_camera_losses(*arguments, proxies[1][order], rename(proxies[2][order]), num_negatives=number)
        return found.numpy()

    found = losses(np.arange(len(proxies[0])), lambda names: names)
    oracle = losses_oracle(rows, labels, camids, *proxies, temperature=0.07, num_negatives=number)
    np.testing.assert_allclose(found, oracle, atol=5e-6)
    np.testing.assert_allclose(losses(rng.permutation(len(proxies[0])), lambda names: 100 - names), found, atol=5e-6)


def test_the_loss_of_an_epoch_has_its_weight_and_counts_all_images(unit_rows):
    addition = CameraProxies(weight=0.5, temperature=0.07, num_negatives=2, start_epoch=1)
    features, labels, camids = unit_rows(6, 4), np.array([0, 0, 1, 1, 2, -1]), np.array([0, 3, 0, 3, 1, 1])
    kept = addition.prepare(Clustering(features, None, labels, camids))
    assert kept[1].tolist() == [0, 0, 1, 1, 2], "an outlier has no proxy"
    assert addition.of_epoch(0, 3, kept) is None
    rows, batch = paddle.to_tensor(features[:5]), StepBatch(0, np.arange(5), labels[:5], camids=camids[:5])
    losses = inter_camera_losses(rows, labels[:5], camids[:5], paddle.to_tensor(kept[0]), *kept[1:], num_negatives=2)
    assert losses[4].item() == 0 < losses[:4].min().item()
    assert addition.of_epoch(1, 3, kept)(rows, batch).item() == pytest.approx(0.5 * losses.sum().item() / 5)
    with pytest.warns(PpreidWarning, match="a single cluster exists: .* loss_camera is left out"):
        assert addition.of_epoch(1, 1, kept) is None
    with pytest.raises(WeightsError, match="no camera proxies"):
        addition.of_epoch(1, 3, [kept[0], kept[1][1:], kept[2]])
