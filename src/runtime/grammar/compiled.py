"""A grammar that is ready for use."""

from typing import Any, NamedTuple

from llguidance import LLMatcher


class CompiledGrammar(NamedTuple):
    """matcher: at the beginning, to be copied, never changed. source: for the library. schema: what a finished text is
    to be checked against, None if all of it is enforced. warnings: what is not."""

    matcher: LLMatcher
    source: str
    schema: Any | None = None
    warnings: tuple[str, ...] = ()
