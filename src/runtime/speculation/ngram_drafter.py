"""Prompt lookup: what followed the last time that the sequence's last tokens occurred in it.

Good at texts that repeat themselves or their prompt: edits, extractions, code, lists. Source of the idea: Saxena,
Prompt Lookup Decoding (2023).
"""

from runtime.sequence import Sequence


class NgramDrafter:
    """Looks up the last n tokens, the longest n first.

    Each sequence's tokens are kept as a string of as many characters, whose search is native and quick: an index of
    n-grams would take longer to keep than a text of some thousand tokens to search.
    """

    free = True

    def __init__(self, longest: int, shortest: int, most: int) -> None:
        """longest, shortest: tokens of the n-grams that are looked up, shortest from 1."""
        assert 1 <= shortest <= longest and most >= 1
        self.most = most
        self._sizes = range(longest, shortest - 1, -1)
        self._texts: dict[int, str] = {}

    def draft(self, sequences: list[Sequence], limits: list[int]) -> list[list[int]]:
        return [
            self._draft(sequence, min(limit, self.most)) if limit > 0 else []
            for sequence, limit in zip(sequences, limits, strict=True)
        ]

    def behind(self, sequence: Sequence) -> int:
        return 0

    def forget(self, sequence: Sequence) -> None:
        self._texts.pop(sequence.id, None)

    def _draft(self, sequence: Sequence, count: int) -> list[int]:
        tokens = sequence.tokens
        text = self._text(sequence)
        start = self._find(text)
        if start is None:
            return []
        drafts = tokens[start : start + count]
        while len(drafts) < count:  # the text goes on in its own repetition
            drafts.append(drafts[len(drafts) - (len(tokens) - start)])
        return drafts

    def _text(self, sequence: Sequence) -> str:
        """Of all the sequence's tokens; those that are new since the last time are added."""
        text = self._texts.get(sequence.id, "")
        text += "".join(map(chr, sequence.tokens[len(text) :]))
        self._texts[sequence.id] = text
        return text

    def _find(self, text: str) -> int | None:
        """Where the token behind the last earlier occurrence of the longest n-gram lies."""
        if text.rfind(text[-self._sizes[-1] :], 0, len(text) - 1) < 0:
            return None  # where the shortest is nowhere, no longer one is
        for size in self._sizes:
            if len(text) > size and (start := text.rfind(text[-size:], 0, len(text) - 1)) >= 0:
                return start + size
        return None
