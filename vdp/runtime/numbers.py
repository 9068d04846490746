"""Numbers as people read them."""


def with_error(mean: float, error: float | None, spec: str = ".2f") -> str:
    """The mean ± its standard error, "-83.90 ± 0.67"; alone where it has none, as of one image.

    Args:
      mean: what was estimated.
      error: of the mean, in its units.
      spec: how Python formats both; a sign that is asked for is the mean's.
    """
    text = f"{mean:{spec}}"
    return text if error is None else f"{text} ± {error:{spec.lstrip('+')}}"
