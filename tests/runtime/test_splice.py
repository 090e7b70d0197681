from hypothesis import given
from hypothesis import strategies as st

from runtime.chat.splice import splice

# Tokens are pieces of text here, so that any way to cut a text into tokens can be tried.
PIECES = ["a", "b", "ab", "ba", "aba", "€", "<end>"]
pieces = st.lists(st.sampled_from(range(len(PIECES))), max_size=12)


def spell(token: int) -> bytes:
    return b"\xff%d\xff" % token if PIECES[token] == "<end>" else PIECES[token].encode()


def encode(text: str) -> list[int]:
    return [PIECES.index(character) for character in text]


def text(tokens: list[int]) -> bytes:
    return b"".join(map(spell, tokens))


@given(pieces, pieces, pieces)
def test_the_text_is_the_prompts_and_the_first_tokens_are_the_historys(
    history: list[int], begin: list[int], rest: list[int]
) -> None:
    prompt = begin + rest
    result = splice(history, prompt, spell, encode)
    assert text(result) == text(prompt)
    if text(prompt).startswith(text(history)):
        assert result[: len(history)] == history
    elif text(prompt).startswith(text(history[:-1])):
        assert result[: len(history) - 1] == history[:-1]
    assert splice(prompt, prompt, spell, encode) == prompt and splice([], prompt, spell, encode) == prompt


def test_a_tokenizer_that_cannot_continue_within_a_token_begins_at_the_next_place_where_tokens_meet() -> None:
    history, prompt = [6, 4, 0], [6, 0, 3, 2]  # <end> aba a / <end> a ba ab
    assert splice(history, prompt, spell, encode) == [6, 4, 0, 1]
    assert splice(history, prompt, spell, lambda text: [5]) == [6, 4, 2]
