"""Questions with choices: the right one should be the most likely continuation."""

from collections.abc import Sequence
from typing import Any

from model.token_encoder import TokenEncoder
from runtime.errors import UserError
from runtime.evaluation.mean import Mean
from runtime.evaluation.row import Row
from runtime.evaluation.span import Score


class MultipleChoiceTask:
    """A choice's score is its log-probability after the question, and the same divided by its length in bytes, as
    long answers are less likely than short ones. Of equal scores the first choice counts."""

    kind = "multiple_choice"

    def __init__(self, rows: Sequence[Row], encoder: TokenEncoder, window: int) -> None:
        self._rows = rows
        self._choices = [_choices(row) for row in rows]
        self._answers = [_answer(row, len(choices)) for row, choices in zip(rows, self._choices, strict=True)]
        self.items = []
        for row, choices in zip(rows, self._choices, strict=True):
            question = _question(row)
            self.items.append([row.span(encoder, question, _separated(question, text), window) for text in choices])
        self._right = Mean()
        self._right_per_byte = Mean()
        self._chance = Mean()

    def judge(self, number: int, scores: Sequence[Score]) -> dict[str, Any]:
        choices, answer = self._choices[number], self._answers[number]
        log_probs = [score.log_prob for score in scores]
        per_byte = [value / len(text.encode()) for value, text in zip(log_probs, choices, strict=True)]
        chosen, chosen_per_byte = log_probs.index(max(log_probs)), per_byte.index(max(per_byte))
        self._right.add(chosen == answer)
        self._right_per_byte.add(chosen_per_byte == answer)
        self._chance.add(1 / len(choices))
        result = {"line": self._rows[number].line, "answer": answer, "chosen": chosen}
        return result | {"chosen_per_byte": chosen_per_byte, "log_probs": log_probs}

    def figures(self) -> dict[str, float]:
        chance = {"chance": self._chance.value}
        return self._right.figures("accuracy") | self._right_per_byte.figures("accuracy_per_byte") | chance

    def headline(self) -> str:
        right, per_byte = self._right, self._right_per_byte
        return f"accuracy {right.value:.1%} ± {right.error:.1%}, per byte {per_byte.value:.1%}"


def _question(row: Row) -> str:
    keys = [key for key in ("question", "context") if key in row.values]
    if len(keys) != 1:
        raise UserError(f"{row.where}: there must be either 'question' or 'context' ({', '.join(row.values)})")
    return row.text(keys[0])


def _choices(row: Row) -> list[str]:
    choices = row.values.get("choices")
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(text, str) and text for text in choices):
        raise UserError(f"{row.where}: 'choices' must be a list of two texts or more, none of them empty")
    return choices


def _answer(row: Row, count: int) -> int:
    answer = row.values.get("answer")
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < count:
        raise UserError(f"{row.where}: 'answer' must be the number of a choice, 0 to {count - 1}, not {answer!r}")
    return answer


def _separated(question: str, choice: str) -> str:
    return choice if question[-1:].isspace() or choice[0].isspace() else f" {choice}"
