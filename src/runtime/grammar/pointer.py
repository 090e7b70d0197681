"""Places in a JSON document, as RFC 6901 writes them."""

from collections.abc import Iterable

Path = tuple[str | int, ...]


def pointer(path: Iterable[str | int]) -> str:
    """`#/properties/a~1b/items/0`; `#` is the whole document."""
    return "/".join(["#", *(str(part).replace("~", "~0").replace("/", "~1") for part in path)])
