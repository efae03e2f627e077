"""What the times of tracks tell: which of them were seen at once."""

import numpy as np

MAX_GAP = 2.0  # seconds; a tracker that loses somebody for longer may follow somebody else under the number
MIN_OVERLAP = 0.5  # seconds; where a tracker changes from one person to another, tracks of one touch for a moment


def seen_at_once(
    tracks: np.ndarray,
    times: np.ndarray,
    camids: np.ndarray,
    *,
    max_gap: float = MAX_GAP,
    min_overlap: float = MIN_OVERLAP,
    shared_clock: bool = False,
) -> np.ndarray:
    """Pairs of tracks that one camera saw at the same time, or two cameras of one clock; they are two people.

    A camera sees a track from each of its images to the next, where these are at most `max_gap` apart. Two tracks are
    seen at once where such stretches overlap for `min_overlap`. That two tracks follow each other, however closely,
    says nothing: a tracker that loses somebody goes on under another number, and the last box of the one may be
    somebody else's when the other has begun.

    Args:
        tracks: (N,) track of every image, -1 unknown.
        times: (N,) in seconds, -1 unknown, of a clock that the tracks of a camera share.
        camids: (N,) cameras, -1 unknown. Images of which any of the three is unknown tell nothing.
        max_gap: seconds, at least 0.
        min_overlap: seconds that two stretches must have in common; with 0 it is enough that they touch.
        shared_clock: whether the cameras share the clock and none sees what another sees, so that nobody is in front
            of two of them.

    Returns:
        (P, 2) int64 numbers of tracks, the smaller first, each pair once, in ascending order.

    Example:
        Track 7 is seen from 0 to 2 seconds, 8 from 1 to 3, and 9 begins later.

        >>> seen_at_once(np.array([7, 7, 8, 8, 9]), np.array([0.0, 2, 1, 3, 4]), np.zeros(5, int)).tolist()
        [[7, 8]]
    """
    known = (tracks >= 0) & (times >= 0) & (camids >= 0)
    tracks, times, camids = tracks[known], times[known], camids[known]
    order = np.lexsort((times, camids, tracks))
    tracks, times, camids = tracks[order], times[order], camids[order]
    is_first = np.ones(len(tracks), bool)
    is_first[1:] = (np.diff(tracks) != 0) | (np.diff(camids) != 0) | (np.diff(times) > max_gap)
    first = np.flatnonzero(is_first)
    last = np.append(first, len(tracks))[1:] - 1
    stretches = tracks[first], times[first], times[last]
    place = camids[first] * (not shared_clock)
    found = [np.empty((0, 2), np.int64)]
    for one in np.unique(place):
        found.append(_overlapping(*(values[place == one] for values in stretches), least=min_overlap))
    return np.unique(np.concatenate(found), axis=0)


def _overlapping(tracks: np.ndarray, begins: np.ndarray, ends: np.ndarray, *, least: float) -> np.ndarray:
    """Pairs of different tracks, the smaller first, among stretches (S,) of one clock that overlap for as long."""
    order = np.argsort(begins, kind="stable")
    tracks, begins, ends = tracks[order], begins[order], ends[order]
    # sorted by their begin, a stretch overlaps exactly those behind it that begin before it ends
    counts = np.searchsorted(begins, ends, side="right") - np.arange(len(tracks)) - 1
    one = np.repeat(np.arange(len(tracks)), counts)
    other = one + 1 + np.arange(len(one)) - np.repeat(np.cumsum(counts) - counts, counts)
    pairs = np.sort(np.stack([tracks[one], tracks[other]], axis=1), axis=1)
    # the times of equal stretches may differ in the last bit
    is_long = np.minimum(ends[one], ends[other]) - begins[other] >= least - 1e-6
    return pairs[is_long & (pairs[:, 0] != pairs[:, 1])]
