"""What a Python function takes, and how JSON becomes that."""

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NotRequired

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from typing_extensions import TypedDict

from runtime.dag.json_value import JsonObject

_EVERYTHING: JsonObject = {"type": "object"}


@dataclass(frozen=True)
class Parameters:
    """schema: JSON Schema of the arguments. adapter: checks them and makes them the types that the function names;
    None: it takes one object, with whatever is in it."""

    schema: JsonObject
    adapter: TypeAdapter[JsonObject] | None

    def call(self, function: Callable[..., Any], arguments: JsonObject) -> Any:
        """What the function gives. Its arguments have been `checked`."""
        return function(arguments) if self.adapter is None else function(**arguments)

    def checked(self, arguments: JsonObject) -> JsonObject:
        """Raises ValueError, in one line, if they are not what the function takes. Texts become numbers where numbers
        are wanted."""
        if self.adapter is None:
            return dict(arguments)
        try:
            return self.adapter.validate_python(arguments)
        except ValidationError as error:
            raise ValueError(one_line(error)) from None


def parameters_of(function: Callable[..., Any]) -> Parameters:
    """From the function's signature. One that takes a single value without a type gets all arguments as one object.

    Raises ValueError, in one line, if the function cannot be called with arguments by name.
    """
    name = getattr(function, "__name__", type(function).__name__)
    try:
        parameters = list(inspect.signature(function).parameters.values())
        hints = typing.get_type_hints(function, include_extras=True)
    except (TypeError, ValueError, NameError) as error:
        raise ValueError(f"{name}: its parameters cannot be read: {error}") from error
    if len(parameters) == 1 and parameters[0].kind in _BY_POSITION and parameters[0].name not in hints:
        return Parameters(_EVERYTHING, None)
    fields: dict[str, Any] = {}
    extra: Literal["forbid", "allow"] = "forbid"
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            extra = "allow"
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise ValueError(f"{name}: parameter {parameter.name!r} takes no name: a tool's arguments have names")
        else:
            type_ = hints.get(parameter.name, Any)
            fields[parameter.name] = type_ if parameter.default is parameter.empty else NotRequired[type_]
    make: Any = TypedDict  # from a dict, which a type checker cannot follow
    arguments = make(name, fields)
    arguments.__pydantic_config__ = ConfigDict(extra=extra)
    try:
        adapter = TypeAdapter(arguments)
        return Parameters(adapter.json_schema(), adapter)
    except PydanticUserError as error:
        raise ValueError(f"{name}: a parameter's type is nothing that JSON can become: {error.message}") from error


def one_line(error: ValidationError) -> str:
    """The first thing that is wrong, and with which argument."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    others = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where + ': ' if where else ''}{' '.join(first['msg'].split())}{others}"


_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
