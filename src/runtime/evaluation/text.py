"""A text: how well each of its tokens is foreseen from those before it."""

import math
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from model.token_encoder import TokenEncoder
from runtime.errors import UserError
from runtime.evaluation.mean import perplexity
from runtime.evaluation.span import Score, window_spans
from runtime.text_file import read_text


class TextTask:
    """An item is a window of the text. The first token is context only, unless the model has a start token."""

    kind = "text"

    def __init__(self, path: Path, encoder: TokenEncoder, window: int, stride: int, limit: int | None) -> None:
        tokens = encoder.encode(read_text(path), bos=True)
        self.items = [[span] for span in islice(window_spans(tokens, window, stride), limit)]
        if not self.items:
            raise UserError(f"workload.path={path}: a text needs two tokens, this one has {len(tokens)}")
        self._reading = {"window": window, "stride": stride}
        self._token_bytes = encoder.token_bytes
        self._tokens = 0
        self._bytes = 0
        self._log_prob = 0.0

    def judge(self, number: int, scores: Sequence[Score]) -> dict[str, Any]:
        (span,), (score,) = self.items[number], scores
        text_bytes = sum(len(self._token_bytes(token)) for token in span.tokens[-span.scored :])
        self._tokens += span.scored
        self._bytes += text_bytes
        self._log_prob += score.log_prob
        return {"window": number, "tokens": span.scored, "bytes": text_bytes, "log_prob": score.log_prob}

    def figures(self) -> dict[str, float]:
        per_token, per_byte = (self._log_prob / count if count else math.nan for count in (self._tokens, self._bytes))
        return self._reading | {
            "scored_tokens": self._tokens,
            "scored_bytes": self._bytes,
            "perplexity": perplexity(per_token),
            "byte_perplexity": perplexity(per_byte),
            "bits_per_byte": -per_byte / math.log(2),
        }

    def headline(self) -> str:
        figures = self.figures()
        return f"perplexity {figures['perplexity']:.4g}, {figures['bits_per_byte']:.4f} bits a byte"
