"""A turn of a conversation, and how turns are written beside the memory of the last."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from model.chat_template import Message
from model.errors import ModelFileError
from runtime.memory.common_length import common_length
from runtime.memory.handle import Handle


class Turn(NamedTuple):
    """A conversation at the end of a turn."""

    messages: tuple[Message, ...] = ()
    tokens: tuple[int, ...] = ()  # of all of it, as the model read or wrote them; it has yet to read the last
    handle: Handle | None = None  # on its memory


def pack(turns: Sequence[Turn], tokens: Sequence[int]) -> Tensor:
    """The turns, without their memory, as JSON in bytes, u8 [n]: how many of the last turn's messages each has, how
    many of `tokens` (those that are saved with the memory) it begins with, and which follow."""
    ends = []
    for turn in turns:
        shared = common_length(turn.tokens, tokens)
        ends.append([len(turn.messages), shared, turn.tokens[shared:]])
    text = json.dumps({"messages": turns[-1].messages, "turns": ends}, ensure_ascii=False)
    return torch.frombuffer(bytearray(text.encode("utf-8", errors="surrogatepass")), dtype=torch.uint8)


def unpack(packed: Tensor | None, tokens: Sequence[int], vocab_size: int) -> list[Turn]:
    """The turns again. tokens: those saved with the memory. Raises ModelFileError if it is no such thing."""
    if packed is None or packed.dtype != torch.uint8:
        raise ModelFileError("the file holds no conversation")
    try:
        values = json.loads(packed.numpy().tobytes().decode("utf-8", errors="surrogatepass"))
        messages = tuple(Message(role=row["role"], content=row["content"]) for row in values["messages"])
        ends = [(int(said), int(shared), list(map(int, rest))) for said, shared, rest in values["turns"]]
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise ModelFileError("the file holds a damaged conversation") from error
    turns = [Turn(messages[:said], (*tokens[:shared], *rest)) for said, shared, rest in ends]
    if not (
        all(isinstance(part, str) for message in messages for part in message.values())
        and all(said >= 0 and shared >= 0 for said, shared, _ in ends)
        and all(0 <= token < vocab_size for turn in turns for token in turn.tokens)
        and turns
        and all([message["role"] for message in turn.messages[-2:]] == ["user", "assistant"] for turn in turns[1:])
        and turns[-1].messages == messages
        and 0 < len(tokens) == common_length(tokens, turns[-1].tokens) < len(turns[-1].tokens)
    ):
        raise ModelFileError("the file holds a damaged conversation")
    return turns
