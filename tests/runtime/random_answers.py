"""Answers of a model whose logits are noise, under a grammar."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from model.token_encoder import TokenEncoder
from runtime.grammar.state import GrammarState

Noise = Callable[[int], NDArray[np.float64]]


def allowed_tokens(state: GrammarState, vocab_size: int) -> NDArray[np.intp]:
    """The ids that the state's mask allows, in order."""
    return np.flatnonzero(unpacked(filled(state, [], vocab_size))[0, :vocab_size])


def filled(state: GrammarState, drafts: list[int], vocab_size: int) -> NDArray[np.int32]:
    out = np.full((1 + len(drafts), -(-vocab_size // 32)), 0x55555555, dtype=np.int32)
    state.fill(drafts, out)
    return out


def unpacked(masks: NDArray[np.int32]) -> NDArray[np.uint8]:
    """int32 [R, W] to [R, 32 W], one byte a bit."""
    return np.unpackbits(masks.view(np.uint8), axis=1, bitorder="little")


def closing_noise(encoder: TokenEncoder, vocab_size: int, seed: int) -> Noise:
    """Logits at a step: noise, which inclines the more to what ends texts, lists and objects the longer it goes."""
    closing = np.zeros(vocab_size)
    for id in range(vocab_size):
        token = encoder.token_bytes(id)
        closing[id] = 2 * (b'"' in token) + (b"}" in token or b"]" in token) - token.isalnum()
        closing[id] -= 4 * (b"\\" in token or b"{" in token)
    closing[list(encoder.eos_ids)] = 3
    random = np.random.default_rng(seed)
    return lambda step: 2 * random.standard_normal(vocab_size) + step / 10 * closing


def random_answer(state: GrammarState, noise: Noise, vocab_size: int, most: int) -> list[int] | None:
    """The tokens of an answer, None if it takes more than `most`."""
    tokens: list[int] = []
    while not state.is_complete:
        if len(tokens) == most:
            return None
        allowed = allowed_tokens(state, vocab_size)
        tokens.append(int(allowed[noise(len(tokens))[allowed].argmax()]))
        state.advance(tokens[-1])
    return tokens
