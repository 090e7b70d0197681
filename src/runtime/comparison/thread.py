"""What one client asks: a request, or several, each of them made when the one before has been answered."""

import json
from collections.abc import Sequence as Tokens
from dataclasses import dataclass
from typing import Any

Answer = list[int]


@dataclass(frozen=True)
class Thread:
    """The prompt of a turn is the opening and the turn's own tokens; if the thread remembers, between them all turns
    before with their answers.

    after: new tokens, of all threads together, before its first request comes. schema: JSON Schema of every answer, as
    text. stop_tokens: that end an answer before it has new_tokens. temperature: if not the decoder's.
    """

    turns: tuple[tuple[int, ...], ...]
    new_tokens: int
    opening: tuple[int, ...] = ()
    remembers: bool = False
    after: int = 0
    priority: int = 0
    schema: str | None = None
    stop_tokens: frozenset[int] = frozenset()
    temperature: float | None = None

    def prompt(self, turn: int, answers: Tokens[Answer]) -> tuple[int, ...]:
        """answers: to the turns before."""
        tokens = list(self.opening)
        if self.remembers:
            for said, answer in zip(self.turns[:turn], answers, strict=True):
                tokens += [*said, *answer]
        return (*tokens, *self.turns[turn])

    def longest_prompt(self) -> tuple[int, ...]:
        """As long as any of its prompts can get."""
        unknown = [0] * self.new_tokens
        prompts = (self.prompt(turn, [unknown] * turn) for turn in range(len(self.turns)))
        return max(prompts, key=len)

    def parsed_schema(self) -> dict[str, Any] | None:
        return None if self.schema is None else json.loads(self.schema)
