"""Triton IR as a small graph of typed operations: what `ttir_parser` reads and code generation walks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


class TTIRSyntaxError(RuntimeError):
    """The text is not the IR this parser knows: a new Triton version, or a dialect that it does not print."""


@dataclass(frozen=True)
class Type:
    """A scalar (empty shape) or a tile; ``elem`` is ``f32``, ``i1``, ``ptr``...; ``pointee`` is set for pointers."""

    elem: str
    shape: tuple[int, ...] = ()
    pointee: str = ""

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def is_tile(self) -> bool:
        return bool(self.shape)


@dataclass(frozen=True)
class Location:
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


UNKNOWN = Location("<unknown>", 0)


@dataclass(eq=False)
class Value:
    name: str
    type: Type
    op: Op | None = field(default=None, repr=False)  # None for block arguments
    index: int = 0


@dataclass(eq=False)
class Block:
    args: list[Value] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)


@dataclass(eq=False)
class Op:
    name: str
    operands: list[Value] = field(default_factory=list)
    results: list[Value] = field(default_factory=list)
    head: str = ""  # the text between the name and the types, without attributes: predicates, keywords
    attributes: dict[str, str] = field(default_factory=dict)
    regions: list[Block] = field(default_factory=list, repr=False)
    location: Location = UNKNOWN

    @property
    def result(self) -> Value:
        return self.results[0]


@dataclass
class Function:
    name: str
    args: list[Value]
    body: Block
