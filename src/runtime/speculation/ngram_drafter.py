"""Prompt lookup: what followed the last time that the sequence's last tokens occurred in it.

Good at texts that repeat themselves or their prompt: edits, extractions, code, lists. Source of the idea: Saxena,
Prompt Lookup Decoding (2023).
"""

from dataclasses import dataclass, field

from runtime.sequence import Sequence


class NgramDrafter:
    """Looks up the last n tokens, the longest n first. Each token of a sequence is indexed once, when it is first
    followed by another."""

    free = True

    def __init__(self, longest: int, shortest: int, most: int) -> None:
        """longest, shortest: tokens of the n-grams that are looked up, shortest from 1."""
        assert 1 <= shortest <= longest and most >= 1
        self.most = most
        self._sizes = range(longest, shortest - 1, -1)
        self._indices: dict[int, _Index] = {}

    def draft(self, sequences: list[Sequence], limits: list[int]) -> list[list[int]]:
        return [
            self._draft(sequence, min(limit, self.most)) if limit > 0 else []
            for sequence, limit in zip(sequences, limits, strict=True)
        ]

    def behind(self, sequence: Sequence) -> int:
        return 0

    def forget(self, sequence: Sequence) -> None:
        self._indices.pop(sequence.id, None)

    def _draft(self, sequence: Sequence, count: int) -> list[int]:
        tokens = sequence.tokens
        index = self._indices.setdefault(sequence.id, _Index())
        index.extend(tokens, self._sizes)
        for size in self._sizes:
            if len(tokens) > size and (start := index.followers.get(tuple(tokens[-size:]))) is not None:
                drafts = tokens[start : start + count]
                while len(drafts) < count:  # the text goes on in its own repetition
                    drafts.append(drafts[len(drafts) - (len(tokens) - start)])
                return drafts
        return []


@dataclass
class _Index:
    """followers: where the token behind the last occurrence of each n-gram lies, of n-grams that end before `end`."""

    followers: dict[tuple[int, ...], int] = field(default_factory=dict)
    end: int = 1

    def extend(self, tokens: list[int], sizes: range) -> None:
        for end in range(self.end, len(tokens)):
            for size in sizes:
                if size <= end:
                    self.followers[tuple(tokens[end - size : end])] = end
        self.end = max(self.end, len(tokens))
