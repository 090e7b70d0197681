"""What a subgraph takes and gives."""

from dataclasses import dataclass
from typing import Literal

from runtime.dag.json_value import Json, JsonObject

FieldType = Literal["string", "integer", "number", "boolean", "array", "object", "any"]


@dataclass(frozen=True)
class Field:
    """An input or output. schema: JSON Schema of the value, where there is one. has_default: as None may be one."""

    name: str
    type: FieldType = "any"
    required: bool = True
    has_default: bool = False
    default: Json = None
    description: str = ""
    enum: tuple[Json, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    schema: JsonObject | None = None


@dataclass(frozen=True)
class Signature:
    inputs: tuple[Field, ...] = ()
    outputs: tuple[Field, ...] = ()
    version: str | None = None
    stability: str | None = None
