"""Whole runs on the trained models of this repository, with compiled kernels."""

import math

import pytest
import torch

from model.sequence_step import SequenceStep
from runtime.assembly import Assembly, assemble
from runtime.command_line import CONF, compose_settings
from runtime.engine import Engine
from runtime.errors import ConfigError
from runtime.request import Request

NAMES = ["rwkv7-1m", "rwkv7-4m", "llama-1m", "llama-4m"]
TEXT = (CONF.parent / "experiments" / "data" / "henry_vi_part_2.txt").read_text(encoding="utf-8")[3000:4500]
PROMPTS = ["KING HENRY.", "def main(", "Return the number of", "The following example shows how to use"]
NEW_TOKENS = 24


def assembled(name: str, *settings: str) -> Assembly:
    overrides = [f"model={name}", "model.dtype=f32", "cache.dtype=f32", "kernels.threads=1", *settings]
    return assemble(compose_settings(overrides))


def bits_per_byte(assembly: Assembly) -> float:
    """Of the text, in one step."""
    tokens = assembly.loaded.encoder.encode(TEXT)
    block_size = assembly.executor.cache.block_size
    blocks = range(-(-len(tokens) // block_size))
    logits = assembly.executor.step([SequenceStep(tokens, 0, blocks, len(tokens))])
    nats = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(tokens[1:]), reduction="sum")
    return float(nats) / math.log(2) / len(TEXT.encode())


def answers(engine: Engine, prompts: list[list[int]]) -> list[list[int]]:
    requests = [Request(tuple(prompt), NEW_TOKENS) for prompt in prompts]
    return [completion.tokens for completion in engine.generate(requests)]


@pytest.mark.parametrize("name", NAMES)
def test_it_has_learned_the_plays(name: str) -> None:
    """Frequencies of bytes alone take more than 4 bits."""
    assert 1.5 < bits_per_byte(assembled(name)) < 2.7


def test_all_share_one_vocabulary() -> None:
    folder = CONF.parent / "experiments" / "models"
    assert len({(folder / name / "tokenizer.json").read_bytes() for name in NAMES}) == 1


@pytest.mark.parametrize("name", ["rwkv7-4m", "llama-4m"])
def test_answers_do_not_depend_on_company_chunks_or_preemption(name: str) -> None:
    alone = assembled(name, "batching.max_sequences=1")
    prompts = [alone.loaded.encoder.encode(text) for text in PROMPTS]
    expected = [answers(alone.engine(), [prompt])[0] for prompt in prompts]
    tight = "cache.blocks=3" if name.startswith("rwkv7") else "cache.blocks=5"
    crowded = assembled(name, "batching.max_sequences=4", "batching.token_budget=6", tight, "cache.block_size=16")
    assert answers(crowded.engine(), prompts) == expected


def test_a_number_of_blocks_is_taken_at_its_word() -> None:
    """The limit on memory is for who gives none."""
    settings = ["cache.block_size=1024", "cache.memory_mib=1"]
    assert assembled("llama-4m", *settings, "cache.blocks=2").executor.cache.num_blocks == 2
    with pytest.raises(ConfigError, match=r"cache\.memory_mib=1 holds no block"):
        assembled("llama-4m", *settings)


@pytest.mark.parametrize("log", [0, 4])
def test_states_stay_small_and_exact_over_long_answers(log: int) -> None:
    """A state after hundreds of decode steps equals, up to rounding, the state of one prefill of the same tokens."""
    assembly = assembled("rwkv7-1m", "batching.max_sequences=2", f"cache.state_log={log}")
    executor, encoder = assembly.executor, assembly.loaded.encoder
    tokens = encoder.encode(TEXT)[:300]
    for position, token in enumerate(tokens):
        one = executor.step([SequenceStep([token], position, [0], 1)])
    last = one[0].clone()
    whole = executor.step([SequenceStep(tokens, 0, [1], 1)])[0]
    torch.testing.assert_close(last, whole, rtol=0, atol=1e-3)
