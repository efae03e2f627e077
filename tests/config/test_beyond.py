"""What is refused of the sections for methods beyond ISE."""

import pytest

from ppreid.base.errors import ConfigError
from ppreid.config.load import load_config

REFUSED = [
    (["refine.radius=0.3"], r"refine\.radius is set, but has no effect while refine\.weight is 0"),
    (["camera_proxies.num_negatives=9"], r"camera_proxies\.num_negatives is set, .* while camera_proxies\.weight is 0"),
    (["ema.cluster=true"], r"ema\.cluster is set, but has no effect while ema\.decay is 0"),
    (["refine.weight=1", "refine.part_alpha=0.2"], r"refine\.part_alpha is set, .* while refine\.parts is none"),
    (
        ["refine.weight=1", "refine.parts=halves", "model.embedding_dim=8"],
        "needs maps that can be halved, and no",
    ),
    (["refine.weight=1", "refine.parts=halves", "model.backbone=vit_small"], "model.backbone is vit_small .* halved"),
    (
        ["refine.weight=1", "labels.unit=track"],
        "refine.weight needs distances between images, but labels",
    ),
    (["refine.weighting=nearer"], "choose one of: released, similarity, uniform"),
    (["ema.decay=1.0"], "less than 1"),
]


@pytest.mark.parametrize(("overrides", "message"), REFUSED)
def test_values_that_do_nothing_or_do_not_go_together_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config("ise_market1501.yaml", overrides)


def test_the_recipes_hold_what_their_methods_were_published_with():
    found = load_config("gl_ncplr_msmt17.yaml")
    assert (found.data.height, found.labels.eps, found.solver.iters, found.model.pooling) == (320, 0.7, 400, "gem")
    assert (found.refine.weight, found.refine.radius, found.refine.alpha, found.refine.parts) == (1, 0.2, 0.1, "halves")
    found = load_config("cie_chd_market1501.yaml")
    assert (found.seed, found.model.bn_chunks, found.solver.iters, found.solver.epochs) == (999, 2, 200, 60)
    assert (found.solver.warmup_epochs, found.solver.warmup_factor, found.solver.milestones) == (10, 0.1, [30, 50])
    assert (found.memory.update, found.memory.momentum, found.memory.rows) == ("chd", 0.1, "originals")
    for name, weight, eps in (("market1501", 0.5, 0.4), ("msmt17", 1.0, 0.6)):
        found = load_config(f"cam_proxies_{name}.yaml")
        assert (found.camera_proxies.weight, found.labels.eps, found.ise.objective) == (weight, eps, "baseline")
