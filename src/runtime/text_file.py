"""Files that a user gives, as text or JSON lines: what is wrong with one is an error that names file and line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from runtime.errors import UserError


class Line(NamedTuple):
    where: str  # the words that name file and line in an error
    number: int  # from 1
    text: str


def read_text(path: Path) -> str:
    """The file's text. Raises UserError if it cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8 text") from error


def read_lines(path: Path) -> Iterator[Line]:
    """The lines that are not blank. Raises UserError as above."""
    for number, text in enumerate(read_text(path).split("\n"), start=1):
        if text.strip():
            yield Line(f"{path}, line {number}", number, text)


def json_object(line: Line) -> dict[str, Any]:
    """The object on a line of JSON. Raises UserError if there is none."""
    try:
        row = json.loads(line.text)
    except ValueError as error:
        raise UserError(f"{line.where}: no JSON: {error}") from error
    if not isinstance(row, dict):
        raise UserError(f"{line.where}: it is no object")
    return row
