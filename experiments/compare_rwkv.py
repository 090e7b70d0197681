"""Holds RWKV_x070 against the `rwkv` package on the same official `.pth` file, in f32.

    python experiments/random_rwkv7.py rwkv7-0.1b.pth          # or any trained model
    python experiments/compare_rwkv.py rwkv7-0.1b.pth

Logits and states over 512 tokens, one by one and as one sequence; greedy continuations; and the memory of this
process at token 100 and at token 10,000.
"""

import argparse
import os
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from model.rwkv7 import RWKV_x070

os.environ |= {"RWKV_V7_ON": "1", "RWKV_JIT_ON": "1", "RWKV_CUDA_ON": "0"}  # read when the package is imported
TOKENS = 512
GREEDY_PROMPT, GREEDY_TOKENS, GREEDY_PROMPTS = 32, 64, 4
FLAT_FROM, FLAT_TO = 100, 10_000
TOLERANCE = 1e-4


class Errors(NamedTuple):
    """Largest difference over the largest value, of any position's logits and of any layer's state."""

    logits: float
    states: float


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def compare_states(ours: list[Tensor], theirs: list[Tensor]) -> float:
    return max(relative(a, b.float()) for a, b in zip(ours, theirs, strict=True))


def one_by_one(ours: RWKV_x070, theirs: Any, tokens: list[int]) -> Errors:
    state, their_state, logits_error, state_error = None, None, 0.0, 0.0
    for token in tokens:
        logits, state = ours.forward(token, state)
        their_logits, their_state = theirs.forward(token, their_state)
        logits_error = max(logits_error, relative(logits, their_logits))
        state_error = max(state_error, compare_states(state, their_state))
    return Errors(logits_error, state_error)


def as_sequence(ours: RWKV_x070, theirs: Any, tokens: list[int]) -> Errors:
    logits, state = ours.forward(tokens, None, full_output=True)
    their_logits, their_state = theirs.forward(list(tokens), None, full_output=True)
    logits_error = max(relative(a, b) for a, b in zip(logits, their_logits, strict=True))
    return Errors(logits_error, compare_states(state, their_state))


def greedy(model: Any, prompt: list[int]) -> list[int]:
    logits, state = model.forward(list(prompt), None)
    tokens = [int(logits.argmax())]
    while len(tokens) < GREEDY_TOKENS:
        logits, state = model.forward(tokens[-1], state)
        tokens.append(int(logits.argmax()))
    return tokens


def resident_mib() -> float:
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(model: RWKV_x070) -> tuple[float, float]:
    """MiB of this process at token FLAT_FROM and at token FLAT_TO."""
    state, token, first = None, 0, 0.0
    for position in range(1, FLAT_TO + 1):
        logits, state = model.forward(token, state)
        token = int(logits.argmax())
        if position == FLAT_FROM:
            first = resident_mib()
    return first, resident_mib()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="an official .pth file")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="leave out the 10,000 tokens")
    options = parser.parse_args()
    from rwkv.model import RWKV_x070 as TheirRWKV

    torch.set_num_threads(options.threads)
    name = str(options.path).removesuffix(".pth")
    theirs = TheirRWKV(name, "cpu fp32")
    ours = RWKV_x070(SimpleNamespace(MODEL_NAME=name), weights="f32")
    pick = random.Random(0)
    tokens = [pick.randrange(ours.config.vocab_size) for _ in range(TOKENS)]
    rows = {"one by one": one_by_one(ours, theirs, tokens), "as a sequence": as_sequence(ours, theirs, tokens)}
    for how, errors in rows.items():
        print(f"{TOKENS} tokens {how}: logits differ by {errors.logits:.1e}, states by {errors.states:.1e}")
    prompts = [tokens[i * GREEDY_PROMPT : (i + 1) * GREEDY_PROMPT] for i in range(GREEDY_PROMPTS)]
    equal = sum(greedy(ours, prompt) == greedy(theirs, prompt) for prompt in prompts)
    print(f"{equal} of {GREEDY_PROMPTS} greedy continuations of {GREEDY_TOKENS} tokens are equal")
    del theirs
    if options.memory:
        first, last = memory(ours)
        print(f"memory at token {FLAT_FROM}: {first:.1f} MiB, at token {FLAT_TO}: {last:.1f} MiB")
    if equal < GREEDY_PROMPTS or max(max(errors) for errors in rows.values()) > TOLERANCE:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
