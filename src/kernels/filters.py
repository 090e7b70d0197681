"""The filters that `sample` knows. Temperature counts as one, as it changes what those behind it see."""

from collections.abc import Sequence

FILTERS = ("temperature", "top_k", "top_p", "min_p")


def check_order(order: Sequence[str]) -> None:
    """Raise ValueError unless `order` names each filter once."""
    if sorted(order) != sorted(FILTERS):
        raise ValueError(f"order: must have each of {', '.join(FILTERS)} once, is {', '.join(order)}")
