"""Passages whose last word is to be guessed, as in LAMBADA (Paperno et al., arXiv 1606.06031)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from model.token_encoder import TokenEncoder
from runtime.errors import UserError
from runtime.evaluation.mean import Mean, perplexity
from runtime.evaluation.row import Row
from runtime.evaluation.span import Score


class Passage(NamedTuple):
    context: str
    word: str  # with the space before it


class LastWordTask:
    """Right where each token of the word is the most likely one. Log-probabilities are of whole words."""

    kind = "last_word"

    def __init__(self, rows: Sequence[Row], encoder: TokenEncoder, window: int) -> None:
        self._rows = rows
        self._passages = [_passage(row) for row in rows]
        self.items = [
            [row.span(encoder, passage.context, passage.word, window)]
            for row, passage in zip(rows, self._passages, strict=True)
        ]
        self._right = Mean()
        self._log_prob = Mean()

    def judge(self, number: int, scores: Sequence[Score]) -> dict[str, Any]:
        (score,) = scores
        right = all(score.best)
        self._right.add(right)
        self._log_prob.add(score.log_prob)
        result = {"line": self._rows[number].line, "word": self._passages[number].word.strip()}
        return result | {"tokens": len(score.best), "right": right, "log_prob": score.log_prob}

    def figures(self) -> dict[str, float]:
        ppl = perplexity(self._log_prob.value)
        error = {"perplexity_error": ppl * self._log_prob.error}  # to first order
        return self._right.figures("accuracy") | {"perplexity": ppl} | error

    def headline(self) -> str:
        right = self._right
        return f"accuracy {right.value:.1%} ± {right.error:.1%}, perplexity {perplexity(self._log_prob.value):.4g}"


def _passage(row: Row) -> Passage:
    context, space, word = row.text("text").rstrip().rpartition(" ")
    if not context.strip():
        raise UserError(f"{row.where}: one word has no context: 'text' needs two")
    return Passage(context, space + word)
