from hypothesis import given
from hypothesis import strategies as st

from runtime.request import FinishReason, Request
from runtime.streaming import StreamingController

alphabet = st.sampled_from("ab€é🙂")
stops = st.lists(st.text(alphabet, min_size=1, max_size=4), max_size=3).map(tuple)
chunks = st.lists(st.integers(1, 5), min_size=1)


def cut_into_tokens(data: bytes, sizes: list[int]) -> list[bytes]:
    """The bytes as tokens of the given sizes, over and over; they may end within a character."""
    tokens, start = [], 0
    while start < len(data):
        size = sizes[len(tokens) % len(sizes)]
        tokens.append(data[start : start + size])
        start += size
    return tokens


def stream(tokens: list[bytes], stop: tuple[str, ...]) -> tuple[list[str], FinishReason | None]:
    controller = StreamingController(Request((0,), len(tokens), stop), lambda index: tokens[index])
    pieces = []
    for index in range(len(tokens)):
        pieces.append(controller.push(index))
        if controller.reason:
            break
    assert controller.text == "".join(pieces)
    return pieces, controller.reason


def up_to_first_stop(text: str, stop: tuple[str, ...]) -> tuple[str, bool]:
    """Reads character by character and stops as soon as one of the strings is complete."""
    for end in range(1, len(text) + 1):
        complete = [s for s in stop if text[:end].endswith(s)]
        if complete:
            return text[: end - max(map(len, complete))], True
    return text, False


@given(st.text(alphabet, min_size=1, max_size=30), chunks, stops)
def test_text_ends_at_the_first_stop_string_wherever_tokens_are_cut(
    text: str, sizes: list[int], stop: tuple[str, ...]
) -> None:
    expected, stopped = up_to_first_stop(text, stop)
    pieces, reason = stream(cut_into_tokens(text.encode(), sizes), stop)
    assert "".join(pieces) == expected
    assert reason is (FinishReason.STOP if stopped else FinishReason.LENGTH)


@given(st.binary(min_size=1, max_size=40) | st.text(alphabet, min_size=1).map(str.encode), chunks)
def test_any_bytes_come_out_as_whole_characters(data: bytes, sizes: list[int]) -> None:
    pieces, _ = stream(cut_into_tokens(data, sizes), ())
    assert "".join(pieces) == data.decode(errors="replace")


@given(st.text(alphabet, min_size=1, max_size=20), chunks)
def test_a_character_is_shown_with_the_token_that_completes_it(text: str, sizes: list[int]) -> None:
    tokens = cut_into_tokens(text.encode(), sizes)
    pieces, _ = stream(tokens, ())
    for count in range(1, len(tokens)):
        whole = b"".join(tokens[:count]).decode(errors="ignore")
        assert "".join(pieces[:count]) == whole


def test_a_stop_token_has_no_text() -> None:
    controller = StreamingController(Request((0,), 9, stop_tokens=frozenset({1})), lambda token: b"x")
    assert controller.push(0) == "x" and controller.push(1) == ""
    assert controller.reason is FinishReason.STOP and controller.new_tokens == 2
