"""A line of a JSON lines file, which errors about it name."""

from typing import Any, NamedTuple

from model.token_encoder import TokenEncoder
from runtime.errors import UserError
from runtime.evaluation.span import Span, continuation_span


class Row(NamedTuple):
    where: str  # the words that name file and line
    line: int
    values: dict[str, Any]

    def text(self, key: str) -> str:
        """The text under `key`. Raises UserError if there is none."""
        value = self.values.get(key)
        if not isinstance(value, str):
            raise UserError(f"{self.where}: no text under '{key}' ({', '.join(self.values)})")
        return value

    def span(self, encoder: TokenEncoder, context: str, continuation: str, window: int) -> Span:
        """See `continuation_span`."""
        try:
            return continuation_span(encoder, context, continuation, window)
        except UserError as error:
            raise UserError(f"{self.where}: {error}") from error
