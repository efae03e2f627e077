"""How numbers are written for people."""


def fixed(value: float, digits: int) -> str:
    """A number with so many digits behind the point; what rounds to zero has no sign.

    Args:
        value: any, also nan.
        digits: behind the point, 0 or more.

    Example:
        >>> fixed(-0.004, 2), fixed(-0.006, 2)
        ('0.00', '-0.01')
    """
    return f"{round(value, digits) + 0.0:.{digits}f}"  # -0.0 + 0.0 is 0.0; Python 3.10 has no format for that
