"""Inferences of a document on the small trained models, of both families: the same as each alone, and shared."""

import asyncio
import json
from functools import cache
from typing import Any

import pytest
from test_small_models import TEXT, assembled
from toy_driver import invocation, together

from runtime.assembly import Assembly
from runtime.dag.document.node import Budget
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.budget import BudgetScope
from runtime.dag.inference.activity import Activity
from runtime.dag.inference.driver import InferenceDriver
from runtime.dag.inference.inference import Inference, InferenceResult
from runtime.dag.inference.model_card import ModelCard

families = pytest.mark.parametrize("model", ["llama-1m", "rwkv7-1m"])
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 6}, "age": {"type": "integer", "minimum": 1, "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
QUESTIONS = [
    "\nKING HENRY.",
    "\nQUEEN MARGARET.",
    "\nGLOUCESTER.",
    "\nYORK.",
    "\nSUFFOLK.",
    "\nWARWICK.",
    "\nCADE.",
    "\n1.",
]


@cache
def assembly(model: str, *settings: str) -> Assembly:
    memory = ["batching.max_sequences=9", "cache.block_size=16", "cache.memory_mib=24", "cache.snapshot_gap=16"]
    return assembled(model, *memory, *settings)


def driver_of(made: Assembly) -> InferenceDriver:
    return InferenceDriver(made.engine(), made.loaded.encoder, ModelCard.of(made), Activity())


def alone(made: Assembly, inference: Inference) -> InferenceResult:
    driver = driver_of(made)
    driver._engine.store.index = None
    result = asyncio.run(driver.infer(inference, invocation(driver)))
    driver.end_run()
    return result


def held(driver: InferenceDriver) -> int:
    driver._engine.store.allocator.check()
    return driver._engine.ledger().held


@families
@pytest.mark.parametrize("prefix", ["radix", "none"])
def test_eight_branches_over_one_context_give_what_each_gives_alone(model: str, prefix: str) -> None:
    made = assembly(model, f"cache.prefix={prefix}")
    wanted = [
        Inference(TEXT[:900] + question, max_tokens=12, seed=i, temperature=0.8 * (i % 2), keep=i == 3)
        for i, question in enumerate(QUESTIONS)
    ]
    wanted[5] = Inference(TEXT[:900] + QUESTIONS[5], max_tokens=60, output_schema=SCHEMA)
    expected = [alone(made, inference).text for inference in wanted]
    driver = driver_of(made)
    scope = BudgetScope(Budget(max_tokens=10**5, max_kv_bytes=10**9))
    results = asyncio.run(together(driver, wanted, fork="f", scope=scope))
    assert [result.text for result in results] == expected
    context = len(made.loaded.encoder.encode(TEXT[:900]))
    natives = [result.native for result in results]
    assert all(native.reused_tokens >= context - 3 for native in natives)  # a token may span the end of the context
    assert len({native.steps[0] for native in natives}) == 1
    assert sum(native.prefilled_tokens for native in natives) < 100
    assert scope.used.tokens == sum(native.prompt_tokens + native.completion_tokens for native in natives)
    assert held(driver) > 0
    driver.end_fork("f")
    handle = driver.handles.get(results[3].kv_handle or "").handle
    assert held(driver) == len(handle.blocks)
    assert scope.used.kv_bytes == len(handle.blocks) * made.block_bytes
    driver.end_run()
    assert held(driver) == 0 and scope.used.kv_bytes == 0


@families
def test_structured_output_is_what_the_schema_says(model: str) -> None:
    made = assembly(model)
    result = alone(made, Inference("A person as JSON: ", output_schema=SCHEMA, max_tokens=60, seed=1, temperature=1.0))
    assert result.finish_reason == "stop" and result.parsed_output == json.loads(result.text)
    assert set(result.parsed_output) == {"name", "age"} and 1 <= result.parsed_output["age"] <= 99
    driver = driver_of(made)
    for inference, code, message in (
        (
            Inference("A", output_schema=SCHEMA, max_tokens=3),
            Code.GENERATION,
            "cut off after 3 tokens: raise max_tokens",
        ),
        (Inference("A", output_schema={"not": {}}), Code.INVALID_INPUT, "#/not cannot be enforced"),
        (Inference("A", output_schema={"type": 7}), Code.INVALID_INPUT, "the JSON Schema"),
        (Inference("A", output_schema=SCHEMA, stop_condition="x"), Code.INVALID_INPUT, "leave out the stop strings"),
    ):
        with pytest.raises(NodeError) as caught:
            asyncio.run(driver.infer(inference, invocation(driver)))
        assert caught.value.code is code and message in caught.value.message
        assert held(driver) == 0


@families
def test_a_text_goes_on_from_its_handle_as_if_it_were_one(model: str) -> None:
    """The same tokens follow as if it had never ended."""
    made = assembly(model)
    whole = alone(made, Inference(TEXT[:200], max_tokens=20))
    driver = driver_of(made)

    async def run() -> None:
        first = await driver.infer(Inference(TEXT[:200], max_tokens=10, keep=True), invocation(driver))
        second, other = await together(
            driver,
            [
                Inference("", max_tokens=10, kv_handle=first.kv_handle),
                Inference("\nYORK.", max_tokens=10, kv_handle=first.kv_handle),
            ],
        )
        assert first.text + second.text == whole.text
        assert second.native.prefilled_tokens == 1 and other.native.prefilled_tokens < 10
        driver.end_run()

    asyncio.run(run())
    assert held(driver) == 0


@families
def test_guessing_changes_no_text(model: str) -> None:
    made = assembly(model, "speculation=ngram", "speculation.adaptive=false", "speculation.most=4")
    prompt = "My lord of York, my lord of York, my lord of York, my lord of"
    fast = alone(made, Inference(prompt, max_tokens=24, decoder_strategy="speculative", max_speculative_tokens=3))
    slow = alone(made, Inference(prompt, max_tokens=24, decoder_strategy="greedy"))
    assert fast.text == slow.text and fast.native.drafted > 0 == slow.native.drafted
    assert fast.acceptance_rate == fast.native.drafts_kept / fast.native.drafted
    assert fast.native.decoder_strategy == "speculative" and slow.native.decoder_strategy == "greedy"


def test_a_model_is_called_by_the_name_of_its_file() -> None:
    card = ModelCard.of(assembly("llama-1m"), frozenset(["small"]))
    names: list[Any] = [card.name, "small", card.name + "x"]
    assert card.name == "llama-1m" and [card.is_called(name) for name in names] == [True, True, False]
