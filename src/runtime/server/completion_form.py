"""Answers of /v1/completions."""

from model.token_encoder import TokenEncoder
from runtime.server import response_schema as schema
from runtime.server.answers import Piece, ScoredToken
from runtime.server.form import Form, finish_reason


class CompletionForm(Form):
    prefix = "cmpl"
    kind = "text_completion"
    chunk_kind = "text_completion"

    def __init__(self, model: str, encoder: TokenEncoder, alternatives: int | None) -> None:
        """alternatives: so many likely tokens with each; None: no log-probabilities at all."""
        super().__init__(model, encoder)
        self._alternatives = alternatives

    def _choice(self, piece: Piece) -> schema.CompletionChoice:
        return schema.CompletionChoice(
            index=piece.choice,
            finish_reason=finish_reason(piece),
            warnings=piece.warnings,
            logprobs=self._logprobs(piece.tokens),
            text=piece.text,
        )

    def _start(self, index: int) -> None:
        return None

    def _part(self, piece: Piece) -> schema.CompletionChoice:
        return self._choice(piece)

    def _logprobs(self, tokens: list[ScoredToken]) -> schema.CompletionLogprobs | None:
        if self._alternatives is None:
            return None
        return schema.CompletionLogprobs(
            tokens=[self._spelling.key(scored.token) for scored in tokens],
            token_logprobs=[scored.logprob.logprob for scored in tokens],
            top_logprobs=[self._likely(scored) for scored in tokens] if self._alternatives else None,
            text_offset=[scored.offset for scored in tokens],
        )

    def _likely(self, scored: ScoredToken) -> dict[str, float]:
        """The chosen token and the most likely ones; the best where two have the same text."""
        found: dict[str, float] = {}
        for token, logprob in (*scored.logprob.top, (scored.token, scored.logprob.logprob)):
            found.setdefault(self._spelling.key(token), logprob)
        return found
