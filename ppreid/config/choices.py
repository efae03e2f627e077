"""Names that the configuration may use, known before paddle is imported."""

from pydantic import AfterValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from ppreid.base.errors import unknown_choice

# The names that ppreid/tables.py knows, repeated here so that a wrong name is reported before paddle is imported and
# together with all other problems. tests/wiring/test_build.py holds both equal; whoever adds a row to a table
# passes `choices=tables.choices()` to load_config.
BUILTIN_CHOICES: dict[str, frozenset[str]] = {
    "data.name": frozenset({"market1501", "msmt17", "dukemtmc", "veri776", "demo", "camera_folder"}),
    "model.backbone": frozenset(
        {"resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet50_ibn_a", "resnet101_ibn_a"}
    ),
    "model.pooling": frozenset({"avg", "gem", "max"}),
    "labels.neighbours": frozenset({"exact", "ivf", "auto"}),
    "labels.distance": frozenset({"jaccard", "camera_jaccard"}),
    "labels.clusterer": frozenset({"dbscan", "hdbscan", "agglomerative", "infomap"}),
    "memory.update": frozenset({"hard", "sequential"}),
    "ise.objective": frozenset({"baseline", "ise_pli", "ise_lp", "ise"}),
    "report.projection": frozenset({"pca", "tsne"}),
    "eval.protocol": frozenset({"market1501", "market1501_trapezoid", "fastreid", "all_queries"}),
}


def one_of(key: str) -> AfterValidator:
    """Check that a string is a name in the choices for `key`.

    Args:
        key: configuration key, e.g. "labels.clusterer". The choices are those of the validation context where there
            are any, else the built-in ones.
    """

    def check(value: str, info: ValidationInfo) -> str:
        choices = (info.context or {}).get("choices", BUILTIN_CHOICES)[key]
        if value not in choices:
            # pydantic formats messages as templates; braces in a user's value must not be read as placeholders
            raise PydanticCustomError("unknown_choice", "{reason}", {"reason": unknown_choice(key, value, choices)})
        return value

    return AfterValidator(check)
