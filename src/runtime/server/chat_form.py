"""Answers of /v1/chat/completions."""

from model.token_encoder import TokenEncoder
from runtime.server import response_schema as schema
from runtime.server.answers import Piece, ScoredToken
from runtime.server.form import Form, finish_reason


class ChatForm(Form):
    prefix = "chatcmpl"
    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"

    def __init__(self, model: str, encoder: TokenEncoder, scored: bool) -> None:
        """scored: with log-probabilities."""
        super().__init__(model, encoder)
        self._scored = scored

    def _choice(self, piece: Piece) -> schema.ChatChoice:
        return schema.ChatChoice(
            index=piece.choice,
            finish_reason=finish_reason(piece),
            warnings=piece.warnings,
            logprobs=self._logprobs(piece.tokens),
            message=schema.ChatMessage(role="assistant", content=piece.text),
        )

    def _start(self, index: int) -> schema.ChatChunkChoice:
        role = schema.ChatMessage(role="assistant", content="")
        return schema.ChatChunkChoice(index=index, finish_reason=None, logprobs=None, delta=role)

    def _part(self, piece: Piece) -> schema.ChatChunkChoice:
        return schema.ChatChunkChoice(
            index=piece.choice,
            finish_reason=finish_reason(piece),
            warnings=piece.warnings,
            logprobs=self._logprobs(piece.tokens),
            delta=schema.ChatMessage(content=piece.text or None),
        )

    def _logprobs(self, tokens: list[ScoredToken]) -> schema.ChatLogprobs | None:
        if not self._scored:
            return None
        return schema.ChatLogprobs(content=[self._scored_token(scored) for scored in tokens])

    def _scored_token(self, scored: ScoredToken) -> schema.TokenLogprob:
        spelling, (logprob, top) = self._spelling, scored.logprob
        return schema.TokenLogprob(
            token=spelling.text(scored.token),
            logprob=logprob,
            bytes=list(spelling.bytes(scored.token)),
            top_logprobs=[
                schema.TopLogprob(token=spelling.text(token), logprob=value, bytes=list(spelling.bytes(token)))
                for token, value in top
            ],
        )
