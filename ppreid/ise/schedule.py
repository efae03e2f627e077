"""The schedule of progressive linear interpolation (PLI)."""

import math

from ppreid.base.errors import TrainingError


def pli_degree(step: int, total_steps: int, *, base: float = 1.0) -> float:
    """How far support samples lie on the way from their own cluster to a neighbouring one.

    The degree starts at 0 (a support is the sample itself), grows quickly while the clusters are still coarse and
    flattens below 0.25 * base, so that a support never reaches the middle between two clusters.

    Args:
        step: training steps done so far over all epochs, from 0.
        total_steps: steps of the whole training, at least 1.
        base: scale of the whole schedule; 1 in the paper.

    Returns:
        The factor on (neighbouring centroid - own centroid): 0 at step 0, 0.25 * base at `total_steps`.

    Raises:
        TrainingError: if `step` is not within [0, total_steps].

    Example:
        >>> [round(pli_degree(step, 100), 3) for step in (0, 25, 50, 75, 100)]
        [0.0, 0.089, 0.155, 0.207, 0.25]

    Reference:
        Zhang et al., "Implicit Sample Extension for Unsupervised Person Re-Identification", CVPR 2022, section 3.

    Note:
        The released code multiplies by 0.5 in the training loop and by 0.5 again where supports are made; 0.25 is
        their product, and no other factor is applied anywhere in ppreid.
    """
    if not 0 <= step <= total_steps or total_steps < 1:
        raise TrainingError(
            f"PLI degree asked for step {step} of {total_steps}; the step counts from 0 over all epochs "
            "and total_steps = epochs * steps per epoch is at least 1"
        )
    # e - 1, so that the logarithm ends at 1
    return 0.25 * base * math.log((math.e - 1.0) * step / total_steps + 1.0)
