"""Names that the configuration may use, known before paddle is imported."""

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from ppreid.base.errors import unknown_choice
from ppreid.tables import CHOICES


def one_of(key: str) -> AfterValidator:
    """Check that a string names a row in the table of a key.

    Args:
        key: configuration key, e.g. "labels.clusterer". The rows are those that the table has at that moment.
    """

    def check(value: str) -> str:
        if value not in CHOICES[key]:
            # pydantic formats messages as templates; braces in a user's value must not be read as placeholders
            raise PydanticCustomError(
                "unknown_choice", "{reason}", {"reason": unknown_choice(key, value, CHOICES[key])}
            )
        return value

    return AfterValidator(check)
