"""Fields of a block or node as they are written, read with their types; what is wrong is noted and read on."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeVar

from runtime.dag.document.path import Reference, parse_reference
from runtime.dag.document.yaml_reader import Place, Yaml
from runtime.dag.errors import Code, Problem, one_line
from runtime.dag.json_value import Json, JsonObject

Value = TypeVar("Value")
MOST_PROBLEMS = 200
MOST_SHOWN = 2000  # characters of one


@dataclass
class Problems:
    """The faults of a file; of many errors, and of many warnings, the first.

    guesses: how many words may still be looked up for what was meant by them, which takes time.
    """

    file: str
    found: list[Problem] = field(default_factory=list)
    guesses: int = 300
    _counts: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})

    def add(self, problem: Problem) -> None:
        """The problem's file is `file`, unless it names one."""
        self._counts[problem.is_error] += 1
        if self._counts[problem.is_error] <= MOST_PROBLEMS:
            text = one_line(problem.text, MOST_SHOWN)
            self.found.append(problem._replace(text=text, file=problem.file or self.file))


@dataclass(frozen=True)
class Home:
    """Where references stand: the graph that bare ids are in, and the paths of all blocks of the file."""

    graph_path: str
    blocks: Collection[str]
    block: str  # path of the block, for problems


@dataclass(frozen=True)
class Fields:
    """The object at `place` of a block. node: path of the node it belongs to, "" for the block."""

    yaml: Yaml
    value: JsonObject
    place: Place
    home: Home
    problems: Problems
    node: str = ""

    def __contains__(self, key: str) -> bool:
        return self.value.get(key) is not None

    def fault(self, key: str, text: str, code: Code = Code.SYNTAX, *, is_error: bool = True) -> None:
        """Notes what is wrong with a field, "" for all of this."""
        line = self.yaml.line(*self.place, *([key] if key else []))
        where = ".".join(str(part) for part in self.place[2 if self.node and self.place[:1] == ("nodes",) else 0 :])
        name = ".".join(part for part in (where, key) if part)
        shown = f"`{name}` {text}" if name else text
        self.problems.add(Problem(code, shown, "", self.home.block, self.node, line, is_error))

    def read(self, key: str, reader: Callable[[Json], Value], default: Value, code: Code = Code.SYNTAX) -> Value:
        """What `reader` makes of a field. Its ValueError becomes a problem of this code."""
        if key not in self:
            return default
        try:
            return reader(self.value[key])
        except ValueError as error:
            self.fault(key, str(error), code)
            return default

    def inner(self, key: str) -> "Fields":
        """The object in a field; empty if there is none."""
        value = self.object(key)
        return Fields(self.yaml, value, (*self.place, key), self.home, self.problems, self.node)

    def raw(self, key: str) -> Json:
        return self.value.get(key)

    def object(self, key: str) -> JsonObject:
        return self.read(key, _object, {})

    def text(self, key: str, default: str = "") -> str:
        """A text; a number is one, too, as a writer may forget quotes."""
        return self.read(key, _text, default)

    def needed_text(self, key: str) -> str:
        self.need(key)
        return self.text(key)

    def need(self, key: str) -> None:
        if key not in self:
            self.fault("", f"the field `{key}` is missing")

    def texts(self, key: str) -> tuple[str, ...]:
        """One text or a list of them."""
        return self.read(key, _texts, ())

    def flag(self, key: str, default: bool = False) -> bool:
        return self.read(key, _flag, default)

    def number(self, key: str) -> float | None:
        """Not negative."""
        return self.read(key, _number, None)

    def whole(self, key: str) -> int | None:
        return self.read(key, _whole, None)

    def choice(self, key: str, choices: Collection[str]) -> str | None:
        """One of some words, in any case."""

        def chosen(value: Json) -> str:
            word = _text(value).strip().lower()
            if word not in choices:
                raise ValueError(f"is {word[:80]!r}; it can be {', '.join(choices)}")
            return word

        return self.read(key, chosen, None)

    def text_map(self, key: str) -> dict[str, str]:
        return self.read(key, lambda value: {name: _text(item) for name, item in _object(value).items()}, {})

    def reference(self, key: str) -> Reference | None:
        return self.read(key, self.refer, None)

    def targets(self, key: str) -> tuple[Reference, ...] | str:
        """A path, a list of paths, or a template that gives them."""
        none: tuple[Reference, ...] | str = ()
        return self.read(key, self.read_targets, none)

    def read_targets(self, value: Json) -> tuple[Reference, ...] | str:
        items = value if isinstance(value, list) else [value]
        if any(is_template(item) for item in items):
            if len(items) > 1:
                raise ValueError("mixes templates and paths; write one template that gives the whole list")
            return str(items[0])
        return tuple(self.refer(item) for item in items)

    def refer(self, value: Json) -> Reference:
        return parse_reference(_text(value), self.home.graph_path, self.home.blocks)

    def warn_of_typos(self, known: Collection[str]) -> None:
        """Fields that nobody reads are fine, but not if they look like one that somebody reads."""
        for key in self.value:
            if key not in known and len(key) < 40 and self.problems.guesses > 0:
                self.problems.guesses -= 1
                close = get_close_matches(key, known, 1, 0.8)
                if close and close[0] not in self.value:
                    self.fault(key, f"is no field; did you mean `{close[0]}`?", is_error=False)


def is_template(value: Json) -> bool:
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def kind(value: Json) -> str:
    """What a value is, for messages."""
    names: dict[Any, str] = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return "nothing" if value is None else names.get(type(value), "a number")


def _object(value: Json) -> JsonObject:
    if not isinstance(value, dict):
        raise ValueError(f"is {kind(value)}; it has to be an object")
    return value


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise ValueError(f"is or has {kind(value)} where a text has to be")
    return str(value)


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(map(_text, value)) if isinstance(value, list) else (_text(value),)


def _flag(value: Json) -> bool:
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if not isinstance(value, bool):
        raise ValueError(f"is {kind(value)}; it can be true or false")
    return value


def _number(value: Json) -> float:
    """Texts that are numbers are read: documents quote them."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"is {kind(value)}; it has to be a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"is {str(value)[:40]!r}; it has to be a number") from None
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"is {str(value)[:40]}; it cannot be negative, infinite or no number")
    return number


def _whole(value: Json) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError(f"is {str(value)[:40]}; it has to be a whole number")
    return int(number)
