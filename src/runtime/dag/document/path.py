"""Paths of blocks and nodes, and references to them."""

import re
from collections.abc import Collection
from typing import NamedTuple

NAMESPACES = ("lib", "dynamic", "main", "app", "__meta__", "__system__")
MOST_CHARACTERS = 512
SEGMENT = re.compile(r"[\w\-]+")
VERSION = re.compile(r"v?(\d{1,9}(?:\.\d{1,9}){0,3})")
LATEST = "latest"


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
        query = "&".join(f"{key}={value}" for key, value in self.query)
        return self.path + _suffix(self.version) + ("?" + query if query else "")


def parse_reference(text: str, graph_path: str, blocks: Collection[str] = ()) -> Reference:
    """What `text` refers to where it stands in the graph `graph_path`. blocks: paths that exist, for `/self/x`.

    Raises ValueError, one line.
    """
    path, _, query = text.strip().partition("?")
    if not path.startswith("/"):
        path = f"{graph_path}/{path}"
    elif path.startswith("/self/") and path not in blocks:
        path = graph_path + path.removeprefix("/self")
    reference = _read_path(path, shown=text)
    arguments = tuple(_argument(part, text) for part in query.split("&")) if query else ()
    return reference._replace(query=arguments)


def parse_block_path(text: str) -> str:
    """The path of a block as everybody knows it: absolute, a version written as `@v1.2`. Raises ValueError."""
    if not text.startswith("/"):
        raise ValueError(f"the path {_quote(text)} does not begin with '/'")
    reference = _read_path(text, shown=text)
    if reference.version.startswith("^") or reference.version == LATEST:
        raise ValueError(f"a block has one version, such as @v1, not the range in {_quote(text)}")
    return str(reference)


def namespace(path: str) -> str:
    """The first segment of a path if it is a namespace of the language, else "": a path of the user's own."""
    first = path[1:].partition("/")[0].partition("@")[0]
    return first if first in NAMESPACES else ""


def split_version(path: str) -> tuple[str, str]:
    """`/lib/x@v1.2` → ("/lib/x", "1.2"); no version → ""."""
    base, at, version = path.rpartition("@")
    return (base, version.removeprefix("v")) if at and "/" not in version else (path, "")


def version_matches(have: str, wanted: str) -> bool:
    """Whether a block of the version `have` ("" if it has none) is what a reference wants.

    "" and "latest" take any, "1" the major 1, "1.2" what begins with 1.2; "^1.2" what is compatible with 1.2: at least
    that, and the same up to the first number that is not 0.

    >>> version_matches("1.10", "^1.9"), version_matches("2", "^1.9"), version_matches("1.10", "1.1")
    (True, False, False)
    """
    if wanted in ("", LATEST):
        return True
    if not have:
        return False
    numbers = _longer(version_key(have))
    if not wanted.startswith("^"):
        return numbers[: len(version_key(wanted))] == version_key(wanted)
    least = version_key(wanted[1:])
    fixed = next((i for i, number in enumerate(least) if number), len(least) - 1) + 1
    return numbers[:fixed] == least[:fixed] and numbers >= _longer(least)


def version_end(wanted: str) -> tuple[int, ...] | None:
    """The least key above those of all versions that a reference with numbers can want; None: there is none."""
    if wanted in ("", LATEST):
        return None
    numbers = version_key(wanted.removeprefix("^"))
    fixed = len(numbers)
    if wanted.startswith("^"):
        fixed = next((i for i, number in enumerate(numbers) if number), fixed - 1) + 1
    return (*numbers[: fixed - 1], numbers[fixed - 1] + 1)


def version_key(version: str) -> tuple[int, ...]:
    """What versions are ordered by; that of none is before all others."""
    return tuple(int(number) for number in version.split(".")) if version else ()


def _longer(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return (*numbers, 0, 0, 0, 0)[:4]


def _suffix(version: str) -> str:
    if not version:
        return ""
    return f"@{version}" if version.startswith("^") or version == LATEST else f"@v{version}"


def _read_path(path: str, shown: str) -> Reference:
    if len(path) > MOST_CHARACTERS:
        raise ValueError(f"the path {_quote(shown)} has more than {MOST_CHARACTERS} characters")
    *folders, last = path[1:].split("/")
    last, at, version = last.partition("@")
    if at and version != LATEST:
        caret = "^" if version.startswith("^") else ""
        number = VERSION.fullmatch(version.removeprefix("^"))
        if number is None:
            raise ValueError(f"the version in {_quote(shown)} is none: write @v1, @v1.2, @^1.2 or @latest")
        version = caret + number[1]
    for segment in folders:  # a node in a graph that has a version
        name, at, number_of_graph = segment.partition("@")
        if not SEGMENT.fullmatch(name) or (at and not VERSION.fullmatch(number_of_graph)):
            raise ValueError(_bad_segment(segment, shown))
    if not SEGMENT.fullmatch(last):
        raise ValueError(_bad_segment(last, shown))
    names = [name + at + ("v" + number.removeprefix("v") if at else "") for name, at, number in _parts(folders)]
    return Reference("/" + "/".join([*names, last]), version)


def _parts(folders: list[str]) -> list[tuple[str, str, str]]:
    return [segment.partition("@") for segment in folders]


def _bad_segment(segment: str, shown: str) -> str:
    what = f"{_quote(segment)} in it is no name" if segment else "a name is missing in it"
    return f"the path {_quote(shown)} is no path: {what} (letters, digits, _ and -)"


def _argument(text: str, shown: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not SEGMENT.fullmatch(key) or not value.isprintable():
        raise ValueError(f"what follows '?' in {_quote(shown)} is not of the form a=b&c=d")
    return key, value


def _quote(text: str) -> str:
    """On one line, and not too long, whatever it is."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
