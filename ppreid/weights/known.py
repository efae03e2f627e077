"""Published files of weights: where they are, and how to tell that it is them. docs/weights.md shows the same table.

Only what could be looked up stands here; what could not is "", and shown as unknown.
"""

from typing import NamedTuple

PADDLECLAS = "https://paddle-imagenet-models-name.bj.bcebos.com/dygraph"
PADDLE_VISION = "https://paddle-hapi.bj.bcebos.com/models"
TORCHVISION = "https://download.pytorch.org/models"
IBN_NET = "https://github.com/XingangPan/IBN-Net"
OF_PADDLECLAS = "https://github.com/PaddlePaddle/PaddleClas"
OF_PADDLE = "https://github.com/PaddlePaddle/Paddle"
OF_TORCHVISION = "https://github.com/pytorch/vision"
LUPERSON = "of LUPerson: no commercial use"


class KnownFile(NamedTuple):
    """One published file.

    Attributes:
        name: of the file.
        what: network, and what it was trained on.
        page: of those who published it.
        licence: that their code has; LUPERSON where the data's terms are stricter.
        url: where the file itself is; "" where the page must be gone through in a browser.
        size: in MiB, as its publisher states it.
        digest: "md5:..." or "sha256:...", all of it or how it begins, as its publisher states it.
        place: where a configuration looks for it; "" for anywhere, with -o model.weights=FILE.
    """

    name: str
    what: str
    page: str
    licence: str
    url: str = ""
    size: str = ""
    digest: str = ""
    place: str = ""


def _ise(name: str, data: str) -> KnownFile:
    place = f"pd_model_trace/ISE/{name}"
    return KnownFile(name, f"ISE, {data}", OF_PADDLECLAS, "Apache-2.0", f"{PADDLECLAS}/{name}", place=place)


def _paddle_vision(depth: int, md5: str) -> KnownFile:
    """MD5 as paddle.vision has it, which looks for the file at this place."""
    name = f"resnet{depth}.pdparams"
    url, place = f"{PADDLE_VISION}/{name}", f"~/.cache/paddle/hapi/weights/{name}"
    return KnownFile(name, f"ResNet-{depth}, ImageNet", OF_PADDLE, "Apache-2.0", url, "", f"md5:{md5}", place)


def _torchvision(depth: int, digest: str, size: str) -> KnownFile:
    """The names of such files hold the first digits of their SHA-256."""
    name = f"resnet{depth}-{digest}.pth"
    what, url = f"ResNet-{depth}, ImageNet", f"{TORCHVISION}/{name}"
    return KnownFile(name, what, OF_TORCHVISION, "BSD-3-Clause", url, size, f"sha256:{digest}")


def _of_luperson(name: str, what: str, repository: str) -> KnownFile:
    return KnownFile(name, f"{what}, LUPerson", f"https://github.com/{repository}", LUPERSON)


KNOWN: dict[str, KnownFile] = {
    row.name: row
    for row in (
        _ise("ISE_M_model.pdparams", "Market1501"),
        _ise("ISE_MS_model.pdparams", "MSMT17"),
        _paddle_vision(18, "cf548f46534aa3560945be4b95cd11c4"),
        _paddle_vision(34, "8d2275cf8706028345f78ac0e1d31969"),
        _paddle_vision(50, "ca6f485ee1ab0492d38f323885b0ad80"),
        _paddle_vision(101, "02f35f034ca3858e1e54d4036443c92d"),
        _paddle_vision(152, "7ad16a2f1e7333859ff986138630fd7a"),
        KnownFile(
            "ResNet50_pretrained.pdparams",
            "ResNet-50, ImageNet",
            OF_PADDLECLAS,
            "Apache-2.0",
            f"{PADDLECLAS}/legendary_models/ResNet50_pretrained.pdparams",
        ),
        _torchvision(18, "f37072fd", "44.7"),
        _torchvision(34, "b627a593", "83.3"),
        _torchvision(50, "0676ba61", "97.8"),
        _torchvision(101, "63fe2227", "170.5"),
        _torchvision(152, "394f9c45", "230.4"),
        KnownFile(
            "resnet50_ibn_a-d9d0bb7b.pth",
            "ResNet-50-IBN-a, ImageNet",
            IBN_NET,
            "MIT",
            f"{IBN_NET}/releases/download/v1.0/resnet50_ibn_a-d9d0bb7b.pth",
        ),
        KnownFile(
            "resnet101_ibn_a-59ea0ac6.pth",
            "ResNet-101-IBN-a, ImageNet",
            IBN_NET,
            "MIT",
            f"{IBN_NET}/releases/download/v1.0/resnet101_ibn_a-59ea0ac6.pth",
        ),
        KnownFile(
            "osnet_x1_0_imagenet.pth",
            "OSNet x1.0, ImageNet",
            "https://github.com/KaiyangZhou/deep-person-reid",
            "MIT",
        ),
        _of_luperson("lup_moco_r50.pth", "ResNet-50 (MoCo)", "DengpanFu/LUPerson"),
        _of_luperson("vit_small_cfs_lup.pth", "ViT-S/16 (TransReID-SSL)", "damo-cv/TransReID-SSL"),
        _of_luperson("vit_small_ics_cfs_lup.pth", "ViT-S/16 with ICS (TransReID-SSL)", "damo-cv/TransReID-SSL"),
        _of_luperson("vit_base_ics_cfs_lup.pth", "ViT-B/16 with ICS (TransReID-SSL)", "damo-cv/TransReID-SSL"),
        _of_luperson("pass_vit_small_full.pth", "ViT-S/16 (PASS)", "CASIA-IVA-Lab/PASS-reID"),
        _of_luperson("pass_vit_base_full.pth", "ViT-B/16 (PASS)", "CASIA-IVA-Lab/PASS-reID"),
    )
}


def digest_in_words(digest: str) -> str:
    """A digest for people: "sha256 begins with 0676ba61", "md5 ca6f...", "unknown"."""
    algorithm, _, digits = digest.partition(":")
    whole = {"md5": 32, "sha256": 64}
    return f"{algorithm} {'' if len(digits) == whole[algorithm] else 'begins with '}{digits}" if digest else "unknown"
