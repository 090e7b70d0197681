"""Prompt lookup against a search through the whole text."""

from hypothesis import given
from hypothesis import strategies as st
from toy_sequence import toy_sequence

from runtime.speculation.ngram_drafter import NgramDrafter

texts = st.lists(st.integers(0, 2), min_size=1, max_size=40)


def found(tokens: list[int], longest: int, shortest: int, count: int) -> list[int]:
    """What followed the last earlier occurrence of the longest n-gram, and what would follow that, and so on."""
    for size in range(longest, shortest - 1, -1):
        for start in range(len(tokens) - 1, size - 1, -1):
            if tokens[start - size : start] == tokens[-size:]:
                text = list(tokens)
                for i in range(count):
                    text.append(text[start + i])
                return text[len(tokens) :]
    return []


@given(texts, texts, st.integers(1, 4), st.integers(0, 3), st.integers(0, 6))
def test_finds_what_a_search_finds(prompt: list[int], answer: list[int], shortest: int, more: int, limit: int) -> None:
    drafter = NgramDrafter(shortest + more, shortest, 5)
    sequence = toy_sequence(prompt)
    for token in answer:
        assert drafter.draft([sequence], [limit]) == [found(sequence.tokens, shortest + more, shortest, min(limit, 5))]
        sequence.tokens.append(token)


@given(texts, texts)
def test_sequences_know_nothing_of_each_other(one: list[int], other: list[int]) -> None:
    drafter = NgramDrafter(3, 1, 4)
    sequences = [toy_sequence(one, 0), toy_sequence(other, 1)]
    assert drafter.draft(sequences, [4, 4]) == [found(one, 3, 1, 4), found(other, 3, 1, 4)]
    drafter.forget(sequences[0])
    assert drafter.draft([toy_sequence(other, 0)], [4]) == [found(other, 3, 1, 4)]


def test_each_token_is_indexed_once() -> None:
    class Tokens(list[int]):
        read = 0

        def __getitem__(self, at):  # type: ignore[no-untyped-def]
            Tokens.read += 1
            return super().__getitem__(at)

    drafter = NgramDrafter(3, 1, 4)
    sequence = toy_sequence([0])
    sequence.tokens = Tokens(i % 7 for i in range(1000))
    drafter.draft([sequence], [4])
    before = Tokens.read
    sequence.tokens.append(5)
    drafter.draft([sequence], [4])
    assert Tokens.read - before < 20
