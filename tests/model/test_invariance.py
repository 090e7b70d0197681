"""Invariant kernels: no bit of a token's logits depends on its batch or on the chunks that its sequence came in."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_model import TinyFile
from tiny_rwkv7 import tiny_rwkv7, write_pth

from kernels.ops import load_ops
from model.executor import ModelExecutor
from model.kv_cache import KVCache
from model.loader import load_model
from model.pth_file import PthFile
from model.rwkv7_config import rwkv7_config
from model.rwkv7_model import Rwkv7
from model.rwkv7_names import OFFICIAL
from model.rwkv7_weights import read_rwkv7_weights
from model.sequence_step import SequenceStep
from model.state_cache import StateCache

SEQUENCES, LENGTH, BLOCK_SIZE, LOG = 4, 40, 4, 6
CPU = torch.device("cpu")
TOKENS = torch.randint(0, 263, (SEQUENCES, LENGTH), generator=torch.Generator().manual_seed(0)).tolist()
Make = Callable[[], ModelExecutor[Any]]


class Variant(NamedTuple):
    family: str
    weights: Any
    activations: torch.dtype
    log: int = 0


VARIANTS = {
    "llama q4_1 bf16": Variant("q4_1 with q8_0 head", "packed", torch.bfloat16),
    "llama mixed f32": Variant("mixed, partial rope", "packed", torch.float32),
    "llama f16 f16": Variant("f16 biased qwen2", "packed", torch.float16),
    "rwkv7 bf16 bf16": Variant("rwkv7", "bf16", torch.bfloat16),
    "rwkv7 bf16 bf16 log": Variant("rwkv7", "bf16", torch.bfloat16, LOG),
    "rwkv7 q8_0 bf16 log": Variant("rwkv7", "q8_0", torch.bfloat16, LOG),
    "rwkv7 f32 f32 log": Variant("rwkv7", "f32", torch.float32, LOG),
}


class Case(NamedTuple):
    make: Make
    alone: list[torch.Tensor]  # logits of every token of each sequence, fed one by one, by itself


@pytest.fixture(scope="module", params=VARIANTS)
def case(
    request: pytest.FixtureRequest, tiny_file: Callable[[str], TinyFile], tmp_path_factory: pytest.TempPathFactory
) -> Case:
    make = maker(VARIANTS[request.param], tiny_file, tmp_path_factory)
    alone = [run(make(), [[Feed(i, 1)]] * LENGTH, True)[i] for i in range(SEQUENCES)]
    return Case(make, alone)


def maker(variant: Variant, tiny_file: Callable[[str], TinyFile], folders: pytest.TempPathFactory) -> Make:
    ops = load_ops("compiled", invariant=True)
    if variant.family != "rwkv7":
        path = tiny_file(variant.family).path
        loaded = load_model(path, max_context=64, weights=variant.weights, activations=variant.activations)
        blocks = SEQUENCES * LENGTH // BLOCK_SIZE
        return lambda: ModelExecutor(
            loaded.model, KVCache(loaded.config, blocks, BLOCK_SIZE, variant.activations, CPU), ops
        )
    file = PthFile(write_pth(folders.mktemp("invariance") / "tiny.pth", tiny_rwkv7()))
    config = rwkv7_config(file, OFFICIAL)
    model = Rwkv7(config, read_rwkv7_weights(file, OFFICIAL, config, variant.weights, CPU), variant.activations, CPU)
    return lambda: ModelExecutor(model, StateCache(config, SEQUENCES, variant.log, CPU), ops)


class Feed(NamedTuple):
    """So many tokens of a sequence, and then of drafts, where these can be taken back."""

    sequence: int
    size: int
    drafts: int = 0


Steps = list[list[Feed]]


def run(executor: ModelExecutor[Any], steps: Steps, all_logits: bool) -> list[torch.Tensor]:
    """Logits of each sequence after every one of its tokens, or the last of every chunk."""
    pages = LENGTH // BLOCK_SIZE if executor.cache.truncates else 1
    done, logits = [0] * SEQUENCES, [[torch.empty(0)] for _ in range(SEQUENCES)]
    for feeds in steps:
        parts = []
        for sequence, size, drafts in feeds:
            drafts = max(0, min(drafts, executor.cache.rollback + 1 - size, LENGTH - done[sequence] - size))
            blocks = [sequence + SEQUENCES * page for page in range(pages)]
            chunk = TOKENS[sequence][done[sequence] : done[sequence] + size] + [7] * drafts
            parts.append(SequenceStep(chunk, done[sequence], blocks, (size if all_logits else 1) + drafts))
            done[sequence] += size
        rows = executor.step(parts).clone()
        for feed, part in zip(feeds, rows.split([part.n_logits for part in parts]), strict=True):
            logits[feed.sequence].append(part[: feed.size if all_logits else 1])
    return [torch.cat(parts[1:]) if parts[1:] else parts[0] for parts in logits]


@st.composite
def schedules(draw: st.DrawFn) -> Steps:
    left, steps = [draw(st.integers(1, LENGTH)) for _ in range(SEQUENCES)], []
    while waiting := [i for i, n in enumerate(left) if n]:
        largest = draw(st.sampled_from([LENGTH, 9, 6, 2, 1]))
        chosen = draw(st.lists(st.sampled_from(waiting), min_size=1, unique=True))
        steps.append([Feed(i, draw(st.integers(1, min(left[i], largest))), draw(st.integers(0, 3))) for i in chosen])
        for i, size, _ in steps[-1]:
            left[i] -= size
    return steps


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=schedules(), all_logits=st.booleans())
def test_logits_are_those_of_the_sequence_alone(case: Case, steps: Steps, all_logits: bool) -> None:
    results = run(case.make(), steps, all_logits)
    for i, (logits, alone) in enumerate(zip(results, case.alone, strict=True)):
        sizes = torch.tensor([feed.size for feeds in steps for feed in feeds if feed.sequence == i])
        rows = torch.arange(int(sizes.sum())) if all_logits else sizes.cumsum(0) - 1
        assert torch.equal(logits, alone[rows])
