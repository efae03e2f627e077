"""Makes small wrong changes in the core, one at a time, and prints those that no test notices.

    python tests/reliability/mutants.py                 all of them: about an hour on two cores
    python tests/reliability/mutants.py sampler ise/    those whose file or text holds one of these words

Each change is made in a copy of the repository; then the tests that should notice it run. The suite checks only that
every change can still be made. A survivor is a missing test, or a change that changes nothing.
"""

import argparse
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("ppreid", "tests", "tools", "configs", "docs", "pyproject.toml", "setup.py", "README.md")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["paddle", "numba", "scipy.sparse", "sklearn.cluster", "pydantic", "PIL.Image", "pytest"])
LIMIT = 600  # seconds for the tests of one change; a change that never ends is noticed as well


class Mutant(NamedTuple):
    """A wrong change.

    Attributes:
        file: in the package.
        right: text that stands in the file exactly once.
        wrong: what takes its place.
        tests: files below tests/ that should notice it.
    """

    file: str
    right: str
    wrong: str
    tests: str


CLUSTERING = "clustering/test_pseudo_labels.py"
JACCARD = "clustering/test_jaccard_distance.py"
SEARCH = "neighbours/test_nearest_neighbours.py neighbours/test_similarity_kernels.py"
OBJECTIVE = "ise/test_ise_objective.py ise/test_ise_label_preserving.py ise/test_ise_cluster_contrast.py"
SCORES = "evaluation/test_evaluation_hits.py evaluation/test_evaluation_ranking.py"

# file, tests, and then pairs of right and wrong
CHANGES: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "clustering/labels.py",
        f"{CLUSTERING} clustering/test_centroids.py clustering/test_large_numbers.py",
        (
            ("DBSCAN(eps=eps, min_samples=min_samples,", "DBSCAN(eps=eps, min_samples=min_samples + 1,"),
            ("DBSCAN(eps=eps, min", "DBSCAN(eps=eps * 0.999, min"),
            ("if np.any(labels >= 0):", "if np.any(labels > 0):"),
            ("(sizes >= min_samples)", "(sizes > min_samples)"),
            ("numbers[kept[np.argsort(first[kept])]]", "numbers[kept]"),
            ("rows = start + np.flatnonzero(", "rows = np.flatnonzero("),
            ("_BLOCK] >= 0)", "_BLOCK] > 0)"),
            ("sums[present] += ", "sums[present] = "),
            ("return sums / np.maximum(norms, np.finfo(np.float32).tiny)", "return sums / sizes[:, None]"),
        ),
    ),
    (
        "clustering/jaccard.py",
        JACCARD,
        (
            ("reciprocal_neighbours(indices, round(k1 / 2) + 1)", "reciprocal_neighbours(indices, round(k1 / 2))"),
            ("average_rows(encoding, indices[:, :k2])", "average_rows(encoding, indices[:, : k2 + 1])"),
            ("1 - shared[j] / (2 - shared[j]))", "1 - shared[j])"),
            ("shared[j] += min(weight", "shared[j] += max(weight"),
            ("if distance <= max_distance:", "if distance <= 1:"),
            ("if i != j:", "if True:"),
        ),
    ),
    (
        "clustering/camera_jaccard.py",
        "clustering/test_camera_jaccard.py",
        (
            ("_first(inter, k1_inter + 1)", "_first(inter, k1_inter)"),
            ("_first(intra, k1_intra + 1)", "_first(intra, k1_intra)"),
            ("_first(inter, k2_inter)", "_first(inter, k2_intra)"),
            ("max_share * others + 1e-9", "max_share * others"),
            ("k2_intra, own - 1)", "k2_intra, own)"),
            ("np.maximum(k2 * limit // max(k1, 1), 1), k2)", "k2, k2)"),
        ),
    ),
    (
        "clustering/quota.py",
        "clustering/test_quota.py",
        (
            ("np.arange(k) - 1e-9", "np.arange(k)"),
            ("(mine < theirs))", "(mine > theirs))"),
            ("taken < allowed[place]", "taken <= allowed[place]"),
            ("~take_own & (theirs >= 0)", "~take_own"),
        ),
    ),
    (
        "clustering/alternative_labels.py",
        CLUSTERING,
        (
            ("dense = np.ones(block.shape", "dense = np.zeros(block.shape"),
            ("np.maximum(graph.data, 1e-9)", "np.maximum(graph.data, 0)"),
            ("first_of_part[:-1]]", "first_of_part[:0]]"),
        ),
    ),
    (
        "recordings/tracking.py",
        "recordings/test_tracking.py",
        (
            ("step**4 / 4, step**3 / 2], [step**3 / 2", "step**4 / 4, 0], [0"),
            ("self._state @ move.T", "self._state"),
            ("box_iou(self._expected(), boxes), 0.0)", "box_iou(self._expected(), boxes), 1.0)"),
            ("_COLOUR_WEIGHT * differences - iou", "-iou"),
            ("lost = np.setdiff1d(np.arange(len(iou)), rows)", "lost = np.arange(len(iou))"),
            ("unclear[rivals] = unclear[row] = True", "unclear[rivals] = True"),
            ("unclear[rivals] = unclear[row] = True", "unclear[row] = True"),
            ("_RIVAL * iou[row, column]", "iou[row, column]"),
            ("_NEW_COLOUR * (colours", "(colours"),
            ("seconds - self._seen <= self._max_gap", "seconds - self._seen < self._max_gap"),
            ("centre - sides / 2, sides]", "centre, sides]"),
            ("spread - gain[:, :, :, None]", "spread + gain[:, :, :, None]"),
            ("seconds - seen[1] <= self._max_gap", "seconds - seen[1] < self._max_gap"),
            ("_JUMP + _FASTEST * seconds", "_JUMP"),
            ("max(before[3], after[3])", "min(before[3], after[3])"),
        ),
    ),
    (
        "recordings/filters.py",
        "recordings/test_boxes.py",
        (
            ("np.where(feet[None] > feet[:, None], shares", "np.where(feet[None] != feet[:, None], shares"),
            ("_LEAST_INSIDE * box[2] * box[3]", "_LEAST_INSIDE * box[2]"),
            ("height < filters.min_height", "height <= filters.min_height"),
            ("hidden > filters.max_overlap", "hidden >= filters.max_overlap"),
            ("sides - 4 * pixels", "sides - pixels"),
        ),
    ),
    (
        "recordings/boxes.py",
        "recordings/test_boxes.py",
        (
            ("(upper - lower).clip(0).prod", "(upper - lower).prod"),
            ("[None] - common", "[None]"),
            ("<= max_iou", "< max_iou"),
            ("if kept[row]:", "if True:"),
            ("_score(row) < min_score", "_score(row) <= min_score"),
            ("and row[_CONFIDENCE] >= 0 else 1.0", "else 1.0"),
            ("row[1] >= 0 and any", "any"),
        ),
    ),
    (
        "evaluation/between_cameras.py",
        "evaluation/test_between_cameras.py",
        (
            ("np.mean(others >= threshold)", "np.mean(others > threshold)"),
            ("*_hits(*passages[::-1])", ""),
            ("(pids > 0) & (camids >= 0)", "camids >= 0"),
            (" or is_same.all()", ""),
            ("tracks[rows][tracks[rows] >= 0]", "tracks[rows]"),
        ),
    ),
    (
        "clustering/tracks.py",
        "clustering/test_track_labels.py",
        (
            (">= min_images)", "> min_images)"),
            ("upper.row, upper.data))", "upper.row, -upper.data))"),
            ("within[large] |= within[small]", "within[large] |= set()"),
            ("names.max() + 1 + parts", "names.max() + parts"),
            ("groups[members].tolist(), enemies, eps), min_samples)", "groups[members].tolist(), enemies, eps))"),
            ("tracks.max(initial=-1) + 1 + np", "tracks.max(initial=-1) + np"),
            ("upper.data[order] <= eps", "upper.data[order] < eps"),
            ("enemies.setdefault(other, set()).add(one)", "pass"),
            ("np.where(parts >= 0, names", "np.where(parts >= -1, names"),
            ("labels[alone] = labels.max(initial=-1) + 1 + np.arange(len(alone))", "labels[alone] = labels.max() + 1"),
            ("np.asarray(camids)[first]", "np.asarray(camids)[nodes[first]]"),
        ),
    ),
    (
        "datasets/track_times.py",
        "datasets/test_track_times.py",
        (
            ("np.diff(times) > max_gap", "np.diff(times) >= max_gap"),
            ('ends, side="right")', 'ends, side="left")'),
            ("(np.diff(tracks) != 0) | (np.diff(camids) != 0)", "(np.diff(tracks) != 0)"),
        ),
    ),
    (
        "evaluation/track_pairs.py",
        "evaluation/test_without_labels.py",
        (
            ("gaps >= gaps.max() / 2", "gaps >= gaps.max() / 3"),
            ("& (gaps > 0)", ""),
            ("> max(rivals)", "> min(rivals)"),
            ("times[rows] <= begin + (end - begin) / 3", "times[rows] < begin + (end - begin) / 3"),
            ("times[rows] >= end - (end - begin) / 3", "times[rows] >= begin + (end - begin) / 3"),
            ("times[rows[is_last]].min() - times[rows[is_first]].max()", "end - begin"),
            ("replace=False", "replace=True"),
            ("(tracks >= 0) & (times >= 0))", "tracks >= 0)"),
        ),
    ),
    (
        "evaluation/without_labels.py",
        "evaluation/test_without_labels.py",
        (
            ('target * matched[-1], side="right"', 'target * matched[-1], side="left"'),
            ("times[ends[:, 0]] * times[ends[:, 1]]", "times[ends[:, 0]] + times[ends[:, 1]]"),
            ("(below + up_to).mean() / 2", "below.mean()"),
            ("other=min(threshold, ", "other=max(threshold, "),
            ("np.nextafter(too_many, np.inf)", "too_many"),
            ("np.mean(same < threshold)", "np.mean(same <= threshold)"),
            ("np.quantile(same, RECOMMENDED,", "np.quantile(same, 1 - RECOMMENDED,"),
            ("(pairs.same & here).any()", "here.any()"),
        ),
    ),
    (
        "search/threshold.py",
        "search/test_threshold.py",
        (
            ("similarity >= self.same", "similarity > self.same"),
            ("similarity < self.other", "similarity <= self.other"),
            ("if (found.weights_sha256, found.compared_by) == (weights_sha256, compared_by) else None", "or None"),
        ),
    ),
    (
        "clustering/quality.py",
        "clustering/test_label_quality.py",
        (
            ("np.mean(cameras_of > 1)", "np.mean(cameras_of > 0)"),
            ("usable = (labels >= 0) & (camids >= 0)", "usable = labels >= 0"),
        ),
    ),
    (
        "clustering/quality.py",
        "clustering/test_label_quality.py",
        (
            ("labels.max() + 1 + np.arange(len(labels))", "labels.max() + 1"),
            ("labels, pids = labels[pids >= 0], pids[pids >= 0]", "labels, pids = labels, pids"),
        ),
    ),
    (
        "clustering/sweep.py",
        "clustering/test_sweep.py",
        (("np.maximum(sizes[own] - 1, 1)", "np.maximum(sizes[own], 1)"),),
    ),
    (
        "clustering/by_rows.py",
        "clustering/test_by_rows.py",
        (
            ("found < labels[start + row]", "found > labels[start + row]"),
            ("np.union1d(members, ranking[members, :half])", "members"),
            ("if not is_core[indices[p]]:", "if False:"),
        ),
    ),
    (
        "neighbours/reciprocal.py",
        f"{JACCARD} clustering/test_camera_jaccard.py",
        (
            ("if 3 * shared <= 2 * (stop - first):", "if 3 * shared < 2 * (stop - first):"),
            ("shared += mark[half_columns[q]] == 2 * i", "shared += mark[half_columns[q]] >= 2 * i"),
            ("for b in range(k):", "for b in range(k - 1):"),
            ("np.exp(2 * values - 2, out=values)", "np.exp(values - 1, out=values)"),
            ("/ np.float32(num_rows)", "/ np.float32(k)"),
            ("columns = np.sort(met[:count])", "columns = met[:count]"),
        ),
    ),
    (
        "neighbours/certified.py",
        "neighbours/test_certified.py",
        (
            ("np.sqrt(np.maximum(rest, 0) + 1e-10)", "0 * np.sqrt(np.maximum(rest, 0) + 1e-10)"),
            ("everyone[~certain]", "everyone[certain]"),
            ("np.mean(decided) >= WORTH_IT", "np.mean(decided) >= 0"),
            ("        for ranking in (*wanted, *candidates):", "        for ranking in ():"),
        ),
    ),
    (
        "neighbours/similarity_kernels.py",
        "neighbours/test_certified.py",
        (
            ("np.float64(bounds[i, p]) + margin < similarities", "np.float64(bounds[i, p]) - 0.1 < similarities"),
            ("np.float64(bounds[i, best_first[-1]]) + margin < similarities[i, last]", "True"),
            ("similarities[child + 1] < similarities[child]", "similarities[child + 1] > similarities[child]"),
        ),
    ),
    (
        "neighbours/similarity_kernels.py",
        f"{SEARCH} clustering/test_camera_jaccard.py",
        (
            ("if scores[r, c] < worst[r - first]:", "if scores[r, c] <= worst[r - first]:"),
            ("indices[place - 1] > candidate)", "indices[place - 1] < candidate)"),
            ("allowed = candidate != row and (groups", "allowed = (groups"),
            ("seen_by[candidate] == i or (groups[candidate] == groups[i]) != same_group", "seen_by[candidate] == i"),
            ("np.uint32(112 << 23)", "np.uint32(111 << 23)"),
            ("return -value if number & 0x8000 else value", "return value"),
        ),
    ),
    (
        "neighbours/ranking.py",
        "neighbours/test_rank_on_device.py",
        (
            ("if first == start:", "if first == 0:"),
            ("[self.indices, columns + first]", "[self.indices, columns]"),
            ("allowed = same if ranking.same_group else paddle.logical_not(same)", "allowed = same"),
        ),
    ),
    (
        "neighbours/search.py",
        SEARCH,
        (
            ("if len(features) > row.exact_up_to:", "if False:"),
            ("inter = Ranking(camids, k_inter, same_group=False)", "inter = Ranking(camids, k_inter, same_group=True)"),
        ),
    ),
    (
        "neighbours/tiles.py",
        f"{SEARCH} neighbours/test_inverted_lists.py",
        (
            ("yield Tile(scores.T, second, first)", "yield Tile(scores.T.copy(), first, second)"),
            ("for block in all_blocks[a:] if", "for block in all_blocks[a : a + 1] if"),
        ),
    ),
    (
        "neighbours/list_search.py",
        "neighbours/test_list_search.py",
        (
            ("member_bounds[number + 1]]", "member_bounds[number + 1] - 1]"),
            ("] // num_probes", "] % num_probes"),
            ("yield Tile(scores.T, columns, visiting)", "pass"),
            ("np.minimum(places(*part.T)", "np.maximum(places(*part.T)"),
            ("* len(first)) - 1]) + 1", "* len(first)) - 1])"),
        ),
    ),
    (
        "neighbours/approximate.py",
        "neighbours/test_list_search.py",
        (("np.concatenate(kept)) >= ENOUGH", "np.concatenate(kept)) >= 0"),),
    ),
    (
        "neighbours/descent.py",
        "neighbours/test_descent.py",
        (
            ("indices[itself], similarities[itself] = -1, -np.inf", "pass"),
            ("places = ranking.indices.shape[1] + approximate.SPARE", "places = ranking.indices.shape[1]"),
            ('"n_jobs": 1', '"n_jobs": None'),
            ("numba.set_num_threads(threads)", "numba.set_num_threads(1)"),
        ),
    ),
    (
        "neighbours/similarity_kernels.py",
        "neighbours/test_list_search.py",
        (("if allowed and candidate not in indices[row]:", "if allowed:"),),
    ),
    (
        "neighbours/inverted_lists.py",
        "neighbours/test_inverted_lists.py neighbours/test_nearest_neighbours.py",
        (
            ("return num_lists, min(num_probes, num_lists)", "return num_lists, num_probes"),
            ("round(4 * math.sqrt(num_images))", "round(math.sqrt(num_images))"),
        ),
    ),
    (
        "neighbours/checks.py",
        "neighbours/test_feature_checks.py",
        (
            ("<= 2 * UNIT_NORM_TOLERANCE)", "<= 20 * UNIT_NORM_TOLERANCE)"),
            ("if value > num_images:", "if value >= num_images:"),
            ("if indices.min() < -1 or", "if indices.min() < -2 or"),
        ),
    ),
    (
        "ise/support_samples.py",
        "ise/test_ise_support_samples.py",
        (
            ("return 0.25 * base * math.log(", "return 0.5 * base * math.log("),
            ("(math.e - 1.0) * step / total_steps + 1.0)", "math.e * step / total_steps + 1.0)"),
        ),
    ),
    (
        "ise/support_samples.py",
        "ise/test_ise_support_samples.py",
        (
            ("degree * (neighbour - own)", "degree * (neighbour - features.unsqueeze(1))"),
            ("F.normalize(supports.reshape([batch * k, dim]), axis=1)", "supports.reshape([batch * k, dim])"),
            ("paddle.full_like(similarity, -np.inf), similarity)", "similarity, similarity)"),
            ("usable = max(0, min(topk, num_clusters - 1))", "usable = max(0, min(topk, num_clusters))"),
            ("np.repeat(labels, k)", "np.tile(labels, k)"),
        ),
    ),
    (
        "ise/objective.py",
        OBJECTIVE,
        (
            ("paddle.concat([features, support])", "paddle.concat([support, features])"),
            ("total = total + lp_weight * lp", "total = total + lp"),
            ("if use_supports and label_preserving:", "if use_supports:"),
            ("F.cross_entropy(similarity / temperature, targets)", "F.cross_entropy(similarity, targets)"),
            ("topk(by_class, 1, axis=2, largest=False)", "topk(by_class, 1, axis=2, largest=True)"),
            ("(nearest * (1.0 - own))", "nearest"),
            ("LossTerms(total, logs, rows.detach(), row", "LossTerms(total, logs, rows, row"),
            (
                "support, support_labels, temperature=lp_temperature)",
                "support, support_labels, temperature=temperature)",
            ),
        ),
    ),
    (
        "ise/memory.py",
        "ise/test_ise_memory.py",
        (
            ("by_class.argmin(axis=1", "by_class.argmax(axis=1"),
            ("momentum * old + (1.0 - momentum) *", "(1.0 - momentum) * old + momentum *"),
            ("np.where(groups.valid.T, momentum, 1.0)", "np.where(groups.valid.T, momentum, momentum)"),
            ("groups.rows.T.ravel()", "groups.rows.T[::-1].ravel()"),
            ("update(old, F.normalize(rows, axis=1), labels", "update(old, rows, labels"),
            (
                "        self.centroids = moved[0]",
                "        self.centroids = self.centroids if self._heads > 1 else moved[0]",
            ),
        ),
    ),
    (
        "ise/camera_entropy.py",
        "ise/test_ise_camera_entropy.py",
        (
            ("np.log2(", "np.log("),
            ("len(classes) * raised / raised.sum()", "raised / raised.mean() * len(classes)"),
            ("1.0 - (features * own_centroids)", "1.0 + (features * own_centroids)"),
            ("by_class.argmax(", "by_class.argmin("),
            ("first[of_pair], labels)", "labels)"),
        ),
    ),
    (
        "neighbours/within_tracks.py",
        "neighbours/test_within_tracks.py",
        (
            ("tracks >= 0)", "tracks >= -1)"),
            ("prepend=-1", "prepend=0"),
            ("/ np.sqrt(np.repeat(sizes, sizes))[:, None]", ""),
            ("shrinkage * spread", "shrinkage"),
            ("lower=True).T", "lower=True, trans=1).T"),
        ),
    ),
    (
        "ise/camera_proxies.py",
        "ise/test_ise_camera_proxies.py",
        (
            ("~is_other & (camids", "~is_other | (camids"),
            ("paddle.logical_and(chosen > 0, other)", "chosen > 0"),
            ("paddle.where(paddle.to_tensor(counts > 0), losses", "paddle.where(paddle.to_tensor(counts >= 0), losses"),
            ("np.flatnonzero(labels >= 0)", "np.arange(len(labels))"),
        ),
    ),
    (
        "ise/neighbour_graph.py",
        "ise/test_ise_refine.py",
        (
            ("<= np.float32(radius)", "< np.float32(radius)"),
            ("np.exp(sign * near", "np.exp(-sign * near"),
            ("(labels[pairs.row] >= 0) & ", ""),
            ("paddle.to_tensor(first)", "paddle.to_tensor(first[::-1].copy())"),
        ),
    ),
    (
        "ise/refine.py",
        "ise/test_ise_refine.py",
        (
            ("alpha * hard + (1.0 - alpha)", "(1.0 - alpha) * hard + alpha"),
            ("weight[:num_clusters], transpose_y", "weight, transpose_y"),
            ("if epoch < self._start_epoch:", "if epoch <= self._start_epoch:"),
        ),
    ),
    (
        "ise/part_refine.py",
        "ise/test_ise_part_refine.py",
        (
            ("paddle.log(own / other)", "paddle.log(other / own)"),
            ("weight = agreement(half, whole, kl_temperature)", "weight = agreement(whole, half, kl_temperature)"),
            ("weight * (1.0 - near.data)", "weight * near.data"),
            (".clip(min=LEAST), other.clip(min=LEAST)", ", other"),
        ),
    ),
    (
        "ise/ema.py",
        "ise/test_ise_ema.py",
        (
            ("self._decay * own + (1.0 - self._decay) * other", "self._decay * other + (1.0 - self._decay) * own"),
            ("[0] if self._parts > 1 else images", "[-1] if self._parts > 1 else images"),
        ),
    ),
    (
        "ise/class_rows.py",
        "ise/test_ise_class_rows.py ise/test_ise_memory.py",
        (
            ("np.where(valid, offsets, 0)", "np.where(valid, offsets, counts[:, None] - 1)"),
            ("(labels >= num_clusters)]", "(labels > num_clusters)]"),
        ),
    ),
    (
        "datasets/sampler.py",
        "datasets/test_identity_sampler.py",
        (
            # the same order of identities in every pass, and none at all
            ("rng.permutation(len(groups))", "np.random.default_rng(0).permutation(len(groups))"),
            ("order = rng.permutation(len(groups))", "order = np.arange(len(groups))"),
            # with exactly K - 1 candidates
            ("replace=candidates.size < images)", "replace=candidates.size < images - 1)"),
            ("replace=candidates.size < images)", "replace=True)"),
            ("len(order) - identities + 1, identities)", "len(order), identities)"),
            ("members[camids[members] != camids[anchor]]", "members[members != anchor]"),
            ("members = np.flatnonzero(labels >= 0)", "members = np.flatnonzero(labels > 0)"),
            ("anchor = rng.choice(members)", "anchor = members[0]"),
        ),
    ),
    (
        "datasets/loader.py",
        "datasets/test_loader.py",
        (
            ("default_rng([self._dataset.seed, epoch, 0])", "default_rng([self._dataset.seed, 0, 0])"),
            ("(index, epoch, next(draws))", "(index, epoch, 0)"),
            ("self._reader.read(keys[start_batch:])", "self._reader.read(keys)"),
            ("batch[rank * size : (rank + 1) * size]", "batch[:size]"),
        ),
    ),
    (
        "datasets/transforms.py",
        "datasets/test_transforms.py",
        (
            ("= of_channels(IMAGE_MEAN)\n    return filled", "= 0\n    return filled"),
            ("2 * pad, endpoint=True", "2 * pad"),
            ("math.sqrt(area * aspect)), round(math.sqrt(area / aspect))", "math.sqrt(area)), round(math.sqrt(area))"),
            ("/ of_channels(std)", "/ 1"),
        ),
    ),
    (
        "training/step.py",
        "training/test_step.py",
        (
            ("memory.centroids, batch.degree, batch", "memory.centroids, 0.0, batch"),
            ("        undo_statistics()\n", "        pass\n"),
            ("guard.scale.unscale(model.parameters())", "pass"),
            ("guard.scale.scaled(terms.total).backward()", "terms.total.backward()"),
            ("memory.update(terms.memory_features, terms.memory_labels, batch.of_rows(terms.memory_rows))", "pass"),
            (
                "with running_statistics_kept(model):\n            for part,",
                "with nullcontext():\n            for part,",
            ),
            ("    optimizer.clear_grad()\n", ""),
            ("backward_own(gradient[share])", "backward_own(gradient[: features.shape[0]])"),
        ),
    ),
    (
        "training/loop.py",
        "training/test_loop.py",
        (
            ("optimizer.set_lr(schedule.learning_rate(step))", "pass"),
            ("method.distance(epoch)", "method.distance(0)"),
            ("loader.epoch(labels, epoch,", "loader.epoch(labels, 0,"),
            ("labels[rows], schedule.pli_degree(step), ", "labels[rows], schedule.pli_degree(0), "),
            ("start_batch=progress.steps)", "start_batch=0)"),
            ("        model.train()\n", ""),
        ),
    ),
    (
        "training/optimizer.py",
        "training/test_optimizer.py ise/test_ise_optimizer_golden.py",
        (
            ("else epoch // lr_step", "else (step + 1) // iters // lr_step"),
            ("epoch >= milestone", "epoch > milestone"),
            ("* epoch / warmup_epochs", "* (epoch + 1) / warmup_epochs"),
            ("(step + 1) / warmup_iters", "step / warmup_iters"),
            ("parameters=_trained(model), weight_decay=weight_decay)", "parameters=_trained(model), weight_decay=0.0)"),
            ("Momentum(lr, momentum, _trained(model), weight", "Momentum(lr, 0.0, _trained(model), weight"),
        ),
    ),
    (
        "training/optimizer.py",
        "training/test_optimizer.py",
        (
            ("self.value, self.steps = self.value / 2, 0", "self.value = self.value / 2"),
            ("self.value <= 1.0", "self.value < 1.0"),
            ("if self.steps == GROW_EVERY:", "if self.steps > GROW_EVERY:"),
            ("parameter.grad.scale_(1.0 / self.value)", "parameter.grad.scale_(1.0)"),
        ),
    ),
    (
        "training/finite.py",
        "training/test_finite.py",
        (
            ('if broken == ["gradient"] and', 'if "gradient" in broken and'),
            ("if self.skipped >= self._max_skips:", "if self.skipped > self._max_skips:"),
            ("return self.check() if self.decides_at_once else True", "return True"),
            ('state["loss_scale"], state["steps_at_scale"]', 'state["loss_scale"], 0'),
        ),
    ),
    (
        "training/extract.py",
        "training/test_extract.py",
        (
            ("    model.eval()\n", ""),
            ("if was_training:", "if not was_training:"),
            ("np.add.at(seen, rows - start, 1)", "seen[rows - start] = 1"),
            ("features[rows - start] = block", "features[np.sort(rows) - start] = block"),
        ),
    ),
    (
        "training/extract.py",
        "verbs/test_app.py training",
        (("features[:num_queries], features[num_queries:]", "features[num_queries:], features[:num_queries]"),),
    ),
    (
        "training/pseudo_labels.py",
        "training/test_pseudo_label.py",
        (("distance(features, camids,", "distance(features, camids * 0,"),),
    ),
    (
        "run/progress.py",
        "run wiring training/test_loop.py",
        (
            ("/ (self.steps - self.skipped)", "/ self.steps"),
            (" or epoch + 1 == self.epochs)", ")"),
            ("(epoch + 1) % every == 0", "epoch % every == 0"),
            ("range(epoch * self.iters + done,", "range(epoch * self.iters,"),
        ),
    ),
    (
        "wiring/__init__.py",
        "wiring",
        (
            # right for the 70 epochs of the paper only
            ("total_steps=solver.epochs * solver.iters", "total_steps=70 * solver.iters"),
            ("lr_gamma=solver.lr_gamma,", "lr_gamma=0.1,"),
            ("base=cfg.ise.pli_base)", "base=1.0)"),
            ("max(cfg.eps, radius) if tables.CLUSTERERS[cfg.clusterer].within_eps else 1.0", "cfg.eps"),
            ("batch.accumulate == 1 and amp.level == OFF", "batch.accumulate == 1"),
        ),
    ),
    (
        "wiring/network.py",
        "verbs/test_train_wiring.py",
        (
            # loss scaling is float16's alone
            ('is_dynamic=cfg.amp.level != OFF and cfg.amp.dtype == "float16"', "is_dynamic=cfg.amp.level != OFF"),
            ('is_dynamic=cfg.amp.level != OFF and cfg.amp.dtype == "float16"', "is_dynamic=False"),
            ('is_dynamic=cfg.amp.level != OFF and cfg.amp.dtype == "float16"', 'is_dynamic=cfg.amp.dtype == "float16"'),
        ),
    ),
    (
        "config/schema.py",
        "config/test_scaling.py",
        (
            ("cfg.solver.lr * here / rows", "cfg.solver.lr * rows / here"),
            ("math.ceil(Fraction(cfg.solver.iters * rows, here))", "cfg.solver.iters * rows // here"),
            ("if share % part == 0 else 1)", "if share >= part else 1)"),
        ),
    ),
    (
        "config/method.py",
        "wiring",
        (("return later if epoch else {**later, **first}", "return {**later, **first}"),),
    ),
    (
        "evaluation/scores.py",
        "evaluation/test_evaluation_protocols.py evaluation/test_evaluation_ranking.py",
        (
            ("np.mean(hits.hits_within / hits.within)", "np.mean(hits.hits_within / (hits.ranks + 1))"),
            ("np.maximum(hits.ranks, 1), 1.0)", "np.maximum(hits.ranks, 1), 0.0)"),
            ("np.arange(1, hits.ranks.size + 1)", "np.arange(hits.ranks.size)"),
        ),
    ),
    (
        "evaluation/scores.py",
        SCORES,
        (
            ("== camid) & (not ignore_camera)", "== camid) & ignore_camera"),
            ("np.concatenate([same_identity[own_camera], unknown])", "same_identity[own_camera]"),
            ('closer -= np.searchsorted(junk_values, values, side="left")', "closer -= 0"),
            ("hits.size / (1 + ranked.ranks[-1])", "hits.size / (1 + ranked.ranks[0])"),
            ("if pid != -1 else start", "if True else start"),
            ("- np.searchsorted(tied_junk, hits[equal])", ""),
        ),
    ),
    (
        "evaluation/ranking.py",
        SCORES,
        (
            ("block += squared_norms", "block += 0"),
            ("< max_rank].astype", "< max_rank - 1].astype"),
            ("counted = num_queries if", "counted = num_valid if"),
            ("np.nansum(scores.inverse_penalty) / counted", "np.nanmean(scores.inverse_penalty)"),
        ),
    ),
    (
        "evaluation/rerank.py",
        "evaluation/test_rerank.py",
        (
            ("reciprocal_neighbours(neighbours, k1 + 1)", "reciprocal_neighbours(neighbours, k1)"),
            ("lambda_value * block[row, j] + (1 - lambda_value) * jaccard", "block[row, j] + jaccard"),
            ("power = 2 if squared_input else 1", "power = 1"),
            ("neighbours[:, :k2])", "neighbours[:, : k2 + 1])"),
            ("np.maximum(farthest**power,", "np.maximum(farthest,"),
        ),
    ),
    (
        "models/batch_norm.py",
        "models/test_batch_norm.py",
        (
            ("running_mean[:channels], self._mean)", "running_mean[-channels:], self._mean)"),
            ("bias = self.bias.detach()", "bias = self.bias"),
            ("_swap_leading_axes(rows, num_chunks, batch_size // num_chunks)", "rows"),
        ),
    ),
    (
        "models/reid_net.py",
        "models/test_pooling.py",
        (
            ("paddle.clip(maps, min=self.minimum)", "paddle.abs(maps)"),
            ("** (1.0 / self.p)", "** (1.0 / 3.0)"),
        ),
    ),
    (
        "models/reid_net.py",
        "models/test_reid_net.py models/test_model_goldens.py models/test_batch_norm.py",
        (
            ("restore_chunks(rows, self.bn_chunks) if self._normalises_in_chunks() else rows", "rows"),
            ("F.normalize(self._restore_order(self.neck(embedded)), axis=1, epsilon=1e-12)", "self.neck(embedded)"),
        ),
    ),
    (
        "models/batch_cameras.py",
        "models/test_batch_cameras.py",
        (
            ("self._given = (self._given + count) % share", "self._given = 0"),
            ("self._rank * share + self._given", "self._given"),
            (".reshape(parts, -1).T.ravel()", ""),
            ("(part[:, None] == part) & ", ""),
            ("(camids[:, None] != camids)", "(camids[:, None] >= camids)"),
            ("is_mixed &= count > 0", "pass"),
            ("place[partners[cameras.rows]]", "partners[cameras.rows]"),
            ("unbiased=False", "unbiased=True"),
            ("- scale * mean", "- mean"),
            (" & (camids >= 0)", ""),
            ("same_part & (camids", "(camids"),
            ("(count + shrinkage)", "count"),
            ("count * same_part /", "same_part /"),
        ),
    ),
    (
        "models/drop_path.py",
        "models/test_drop_path.py",
        (
            ("paddle.floor(kept + draws) / kept", "paddle.floor(kept + draws)"),
            ("rows[self._rank * share : (self._rank + 1) * share]", "rows[:share]"),
            ("[self._seed, step, _SALT]", "[self._seed, 0, _SALT]"),
            ("self._given = (self._given + num_images) % len(self._rows)", "self._given = 0"),
        ),
    ),
    (
        "models/vit_block.py",
        "models/test_vit.py",
        (
            ("if self.weight.stop_gradient or self.bias.stop_gradient:", "if False:"),
            ("size**-0.5", "size**-0.4"),
            ("EPSILON = 1e-6", "EPSILON = 1e-5"),
        ),
    ),
    (
        "weights/positions.py",
        "weights/test_vit_weights.py",
        (
            ("align_corners=False", "align_corners=True"),
            ("columns = rows // ratio", "columns = rows"),
            ("if rows * columns != count or not count:", "if False:"),
        ),
    ),
)
MUTANTS = [Mutant(file, right, wrong, tests) for file, tests, pairs in CHANGES for right, wrong in pairs]


def changed(mutant: Mutant, package: Path) -> str:
    """The text of a file with the wrong change.

    Raises:
        ValueError: the change cannot be made, since its text does not stand there exactly once.
    """
    text = (package / mutant.file).read_text(encoding="utf-8")
    count = text.count(mutant.right)
    if count != 1:
        raise ValueError(f"{mutant.file}: {mutant.right!r} stands there {count} times")
    return text.replace(mutant.right, mutant.wrong)


def copy_of_repository(folder: Path) -> Path:
    """A copy in which changes can be made; it keeps the times of files, so that compiled kernels are found again."""
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, folder / name)
    return folder


def tests_pass(tests: str, folder: Path) -> tuple[bool, str]:
    """Whether tests pass in a copy, and what pytest said."""
    said = folder / "said.txt"
    run = FORKS.Process(target=run_tests, args=(tests, folder, said))
    run.start()
    run.join(LIMIT)
    if run.is_alive():
        os.killpg(run.pid, signal.SIGKILL)  # with whatever the tests have started
        return False, "did not end"
    if run.exitcode not in (0, 1, 2):
        raise RuntimeError(f"pytest could not run {tests} (exit code {run.exitcode}):\n{said.read_text('utf-8')}")
    return run.exitcode == 0, said.read_text("utf-8")


def run_tests(tests: str, folder: Path, said: Path) -> None:
    """Run tests in this process, which is theirs alone and has the big packages already, and end it."""
    os.setsid()
    os.chdir(folder)
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))
    os.environ |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", *(f"tests/{path}" for path in tests.split())])
    sys.stdout.flush()
    os._exit(code)  # what the packages do at the end of a process takes longer than many tests


def survives(mutant: Mutant, folder: Path) -> bool:
    """Whether the tests of a change pass with it; the copy is as before afterwards."""
    file = folder / "ppreid" / mutant.file
    right, wrong, times = file.read_bytes(), changed(mutant, folder / "ppreid"), file.stat()
    file.write_text(wrong, encoding="utf-8")
    try:
        return tests_pass(mutant.tests, folder)[0]
    finally:
        file.write_bytes(right)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # compiled files go by it


def survivors(mutants: list[Mutant], *, jobs: int) -> Iterator[tuple[Mutant, bool]]:
    """Every change with whether it survives, in the order of the list."""
    with tempfile.TemporaryDirectory() as root:
        folders: SimpleQueue[Path] = SimpleQueue()
        for job in range(jobs):
            folders.put(copy_of_repository(Path(root) / f"copy{job}"))

        def one(mutant: Mutant) -> bool:
            folder = folders.get()
            try:
                return survives(mutant, folder)
            finally:
                folders.put(folder)

        with ThreadPoolExecutor(jobs) as pool:
            yield from zip(mutants, pool.map(one, mutants), strict=True)


def main() -> int:
    """Look for survivors; gives their number, at most 1."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="only changes whose file or text holds one of these")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    chosen = [
        mutant for mutant in MUTANTS if not args.words or any(word in " ".join(mutant[:3]) for word in args.words)
    ]
    with tempfile.TemporaryDirectory() as folder:
        every = " ".join(sorted({test for mutant in chosen for test in mutant.tests.split()}))
        passed, output = tests_pass(every, copy_of_repository(Path(folder) / "copy"))
        if not passed:
            print(f"{output}\nthe tests fail without any change")
            return 1
    alive = []
    for mutant, is_alive in survivors(chosen, jobs=args.jobs):
        if is_alive:
            alive.append(mutant)
        print(
            f"{'SURVIVED' if is_alive else 'noticed '} {mutant.file}: {mutant.right!r} -> {mutant.wrong!r}", flush=True
        )
    print(f"{len(chosen)} changes, {len(alive)} survived")
    return min(1, len(alive))


if __name__ == "__main__":
    sys.exit(main())
