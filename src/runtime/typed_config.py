"""From a composed config (nested mappings) to its dataclasses; what does not fit is one clear line."""

import difflib
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from runtime.errors import ConfigError

T = TypeVar("T")


def read_config(cls: type[T], values: Mapping[str, Any], path: str = "") -> T:
    """Builds `cls` from a mapping, whatever nesting, tagged unions and literals its fields have.

    A field whose type is a union of dataclasses is chosen by its `name` key. Raises ConfigError for an
    unknown key (with the nearest valid one), a missing key and a value of another type; `path` is the dotted
    name of the mapping, for those messages.
    """
    hints = get_type_hints(cls)
    for key in values:
        if key not in hints:
            raise ConfigError(unknown_key(join(path, str(key)), (join(path, known) for known in hints)))
    for key in hints:
        if key not in values:
            raise ConfigError(f"{join(path, key)} is missing: give it a value")
    return cls(**{key: _read_value(hint, values[key], join(path, key)) for key, hint in hints.items()})


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The message for a key that does not exist, naming the nearest one that does."""
    candidates = sorted(set(known))
    nearest = difflib.get_close_matches(key, candidates, n=1, cutoff=0.6)
    leaf = difflib.get_close_matches(key.rpartition(".")[2], [c.rpartition(".")[2] for c in candidates], n=1)
    if not nearest and leaf:  # the right setting under the wrong group
        nearest = [candidate for candidate in candidates if candidate.rpartition(".")[2] == leaf[0]]
    if nearest:
        return f"unknown key '{key}': did you mean '{nearest[0]}'?"
    return f"unknown key '{key}': valid here are {', '.join(candidates)}"


def dotted_keys(cls: type, path: str = "") -> Iterator[tuple[str, str | None]]:
    """Every (dotted key, group choice that has it) of a config class; the choice is None where all have
    it."""
    for field, hint in get_type_hints(cls).items():
        key = join(path, field)
        yield key, None
        options = [option for option in get_args(hint) or (hint,) if is_dataclass(option)]
        for option in options:
            assert isinstance(option, type)
            choice = f"{key}={_tag(option)}" if len(options) > 1 else None
            for nested, _ in dotted_keys(option, key):
                yield nested, choice


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _read_value(hint: Any, value: Any, key: str) -> Any:
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return None
    dataclasses = [option for option in options if is_dataclass(option)]
    if dataclasses:
        return _read_group(dataclasses, value, key)
    (option,) = (option for option in options if option is not type(None))
    if get_origin(option) is Literal:
        if value in get_args(option):
            return value
        raise ConfigError(f"{key} must be one of {', '.join(map(str, get_args(option)))}, not {value!r}")
    if get_origin(option) is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{key} must be a list, for example [a,b], not {value!r}")
        return tuple(_read_value(get_args(option)[0], item, f"{key}[{i}]") for i, item in enumerate(value))
    if option is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, option) or (isinstance(value, bool) and option is not bool):
        raise ConfigError(f"{key} must be {_NAMES[option]}, not {value!r}")
    return value


def _read_group(options: list[Any], value: Any, key: str) -> Any:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key} is a group of settings, not {value!r}: give it as {key}.<setting>=<value>")
    if len(options) == 1:
        return read_config(options[0], value, key)
    by_tag = {_tag(option): option for option in options}
    if value.get("name") not in by_tag:
        raise ConfigError(f"{key}.name must be one of {', '.join(by_tag)}, not {value.get('name')!r}")
    return read_config(by_tag[value["name"]], value, key)


def _tag(option: type) -> str:
    assert "name" in {field.name for field in fields(option)}, f"{option} is one of several: it needs a name field"
    (tag,) = get_args(get_type_hints(option)["name"])
    return str(tag)


_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
