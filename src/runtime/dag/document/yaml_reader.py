"""YAML as documents use it, read from libyaml's events.

Scalars are those of YAML 1.2's core schema (yes, no, on, off, dates and octal numbers are strings), and only plain ones
are anything but strings. There are no anchors, aliases, tags, merge keys and no duplicate keys: what a text says stands
where it says it, and takes no more memory than the text. Nothing here recurses.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from runtime.dag.document.yaml_repair import repair
from runtime.dag.errors import one_line
from runtime.dag.json_value import Json

DEEPEST = 64
MOST_VALUES = 100_000
LINES_DEPTH = 4  # how deep lines of values are remembered
MOST_SHOWN = 200  # characters of an error
MOST_DIGITS = 300  # more have no float
INTEGER = re.compile(r"[-+]?[0-9]+")
HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
WORDS: dict[str, Json] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
Place = tuple[str | int, ...]


class YamlError(ValueError):
    """One line; `line` is that of the file. is_limit: there is too much of it."""

    def __init__(self, text: str, line: int, is_limit: bool = False) -> None:
        super().__init__(text)
        self.line = line
        self.is_limit = is_limit


@dataclass(frozen=True)
class Yaml:
    """A value, and the lines of what is in it by place: ("nodes", 0, "assign"). values: how many there are in it."""

    value: Json
    values: int
    lines: dict[Place, int] = field(default_factory=dict)

    def line(self, *place: str | int) -> int:
        """The line of a value, or of the nearest one around it whose line is known."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 0)


def read_yaml(text: str, first_line: int = 1, *, repairs: bool = True, most_values: int = MOST_VALUES) -> Yaml:
    """The value of a text whose first line is `first_line` of a file. repairs: whether a text that is no YAML is tried
    again with the shorthands that documents use (`yaml_repair`).

    Raises YamlError.
    """
    numbers = range(first_line, first_line + text.count("\n") + 2)
    try:
        return _Reader(numbers, most_values).read(text)
    except YamlError as error:
        repaired = repair(text) if repairs and not error.is_limit else None
        if repaired is None:
            raise
        lines = [numbers[index] for index in repaired.lines]
        try:
            return _Reader([*lines, lines[-1] + 1], most_values).read("\n".join(repaired.text))
        except YamlError as second:
            raise (error if error.line >= second.line else second) from None


@dataclass
class _Open:
    """A list or object that is being read. key: of the object's next value, None if the key is next."""

    value: Any
    place: Place
    key: str | None = None


class _Reader:
    def __init__(self, numbers: Sequence[int], most_values: int) -> None:
        self._numbers = numbers
        self._most_values = most_values
        self._lines: dict[Place, int] = {}
        self._open: list[_Open] = []
        self._root: Json = None
        self._values = 0
        self._documents = 0

    def read(self, text: str) -> Yaml:
        try:
            for event in yaml.parse(text, Loader=yaml.CSafeLoader):
                self._take(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = error.problem or error.context or "this cannot be read"
            raise YamlError(f"no YAML: {one_line(what, MOST_SHOWN)}", self._line(mark.line if mark else 0)) from None
        except yaml.reader.ReaderError as error:
            line = text.encode()[: error.position].count(b"\n")
            raise YamlError(
                f"no YAML: the character U+{int(error.character):04X} may not be in it", self._line(line)
            ) from None
        except UnicodeEncodeError as error:
            line = text.count("\n", 0, error.start)
            raise YamlError("no YAML: half of a surrogate pair may not be in it", self._line(line)) from None
        return Yaml(self._root, self._values, self._lines)

    def _line(self, index: int) -> int:
        return self._numbers[min(index, len(self._numbers) - 1)]

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._take_scalar(event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._refuse_tags(event)
            if len(self._open) == DEEPEST:
                raise self._error(event, f"more than {DEEPEST} lists and objects within each other")
            value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._open.append(_Open(value, self._put(event, value)))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._open.pop()
        elif isinstance(event, yaml.AliasEvent):
            raise self._error(event, f"the alias *{event.anchor[:80]}: write the value out")
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self._error(event, "'---' begins a second YAML document; a block is one")

    def _refuse_tags(self, event: Any) -> None:
        if event.anchor is not None:
            raise self._error(event, f"the anchor &{event.anchor[:80]}: write values out where they are used")
        if event.tag is not None:
            raise self._error(event, f"the tag {event.tag[:80]!r}: values have no tags here; quote a text that has '!'")

    def _take_scalar(self, event: Any) -> None:
        self._refuse_tags(event)
        inner = self._open[-1] if self._open else None
        if inner is not None and isinstance(inner.value, dict) and inner.key is None:
            if event.value == "<<" and not event.style:
                raise self._error(event, "the merge key <<: write the keys out")
            if event.value in inner.value:
                raise self._error(event, f"the key {event.value[:80]!r} is there twice")
            inner.key = event.value
            place = (*inner.place, event.value)
            if len(place) <= LINES_DEPTH:
                self._lines[place] = self._line(event.start_mark.line)
            return
        value = event.value
        if not event.style:
            try:
                value = plain_scalar(value)
            except ValueError as error:
                raise self._error(event, str(error)) from None
        self._put(event, value)

    def _put(self, event: Any, value: Json) -> Place:
        """Puts a value where it belongs; its place."""
        self._values += 1
        if self._values > self._most_values:
            text = f"more than {MOST_VALUES} values in one document; split it"
            raise YamlError(text, self._line(event.start_mark.line), is_limit=True)
        line = self._line(event.start_mark.line)
        if not self._open:
            self._root = value
            self._lines[()] = line
            return ()
        inner = self._open[-1]
        if isinstance(inner.value, list):
            place = (*inner.place, len(inner.value))[: LINES_DEPTH + 1]
            inner.value.append(value)
            if len(place) <= LINES_DEPTH:
                self._lines[place] = line
            return place
        if inner.key is None:
            raise self._error(event, 'a list or object as a key; a template has to be quoted: "{{ ... }}"')
        place, inner.value[inner.key], inner.key = (*inner.place, inner.key)[: LINES_DEPTH + 1], value, None
        return place

    def _error(self, event: Any, text: str) -> YamlError:
        return YamlError(one_line(text, MOST_SHOWN), self._line(event.start_mark.line))


def plain_scalar(text: str) -> Json:
    """What an unquoted scalar is. Raises ValueError for numbers that JSON has not."""
    if text in WORDS:
        return WORDS[text]
    if text[0] not in "0123456789+-.":
        return text
    if INTEGER.fullmatch(text) or HEXADECIMAL.fullmatch(text):
        if len(text) > MOST_DIGITS:
            raise ValueError(f"a number of more than {MOST_DIGITS} digits; quote it if it is a text")
        return int(text, 16) if text.startswith("0x") else int(text)
    if NOT_FINITE.fullmatch(text) or (FLOAT.fullmatch(text) and not math.isfinite(float(text))):
        raise ValueError(f"{text[:40]} is no number in JSON; quote it if it is a text")
    return float(text) if FLOAT.fullmatch(text) else text
