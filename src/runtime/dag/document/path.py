"""Paths of blocks and nodes, and references to them."""

from typing import NamedTuple


class Reference(NamedTuple):
    """A path as a document refers to it.

    path: absolute (a bare id and `/self/x` have been put behind the path of their graph by the parser, which keeps
    `/self/x` where a block of that very path exists). version: what follows @, without a leading v ("1", "1.2",
    "^1.0", "latest"), or "". query: arguments ?a=b.
    """

    path: str
    version: str = ""
    query: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        version = (
            f"@{self.version}" if self.version.startswith("^") or self.version == "latest" else f"@v{self.version}"
        )
        query = "&".join(f"{key}={value}" for key, value in self.query)
        return self.path + (version if self.version else "") + ("?" + query if query else "")
