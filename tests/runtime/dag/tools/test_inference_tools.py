"""The engine's five names: what a call may do, what it takes, and what a node gets."""

import asyncio
from typing import Any

import pytest
from toy_driver import ToyEncoder, invocation, toy_driver
from toy_model import VOCAB_SIZE, reference_ops, toy_continuation, toy_engine

from runtime.config import FILTERS
from runtime.dag.errors import Code, NodeError
from runtime.dag.json_value import JsonObject
from runtime.dag.tools.inference_tools import InferenceTool, inference_tools
from runtime.dag.tools.tool import ToolResult
from runtime.dag.tools.tool_registry import ToolRegistry
from runtime.decoder.sampling import Sampling
from runtime.sequence import Sequence
from runtime.speculation.fixed_length import FixedLength
from runtime.speculation.speculative_runner import SpeculativeRunner

NAMES = ["grammar_enforced_infer", "llama-default", "native_infer", "native_inference_core", "speculative_runner"]


class Right:
    """Guesses what the toy model says."""

    most, free = 8, True

    def draft(self, sequences: list[Sequence], limits: list[int]) -> list[list[int]]:
        return [toy_continuation(each.tokens, limit) for each, limit in zip(sequences, limits, strict=True)]

    def behind(self, sequence: Sequence) -> int:
        return 0

    def forget(self, sequence: Sequence) -> None: ...


def tools(drafts: bool = True) -> ToolRegistry:
    sampling = Sampling(reference_ops(), VOCAB_SIZE, FILTERS)
    decoder = SpeculativeRunner(sampling, Right(), FixedLength(8)) if drafts else sampling
    return ToolRegistry(inference_tools(toy_driver(toy_engine(decoder=decoder), drafts=drafts)))


def called(registry: ToolRegistry, name: str, **arguments: Any) -> ToolResult:
    tool = registry.get(name)
    assert isinstance(tool, InferenceTool)
    return asyncio.run(tool.call(arguments, invocation(tool.driver)))


def expected(prompt: str, count: int) -> str:
    return ToyEncoder().decode(toy_continuation(list(prompt.encode()), count))


@pytest.mark.parametrize("name", ["native_infer", "native_inference_core"])
def test_text_comes_with_a_handle_to_go_on_from(name: str) -> None:
    registry = tools()
    first = called(registry, name, prompt="abc", max_tokens="4", seed="7", model="", output_schema="", n_ctx=2048)
    assert set(first.payload) == {"text", "kv_handle"} and first.payload["text"] == expected("abc", 4)
    assert first.is_deterministic and first.native is not None and first.native.seed == 7
    again = called(registry, name, new_prompt="", kv_handle=first.payload["kv_handle"], max_tokens=3)
    tokens = toy_continuation(list(b"abc"), 7)
    assert again.payload["text"] == ToyEncoder().decode(tokens[4:]) and "kv_handle" in again.used_features


def test_guesses_are_taken_as_many_as_asked_for() -> None:
    registry = tools()
    for arguments, kept, drafted in (
        ({"max_speculative_tokens": 2}, 1.0, 6),  # of 10 tokens the first is the prefill's, and three come in a step
        ({}, 1.0, 7),  # five guesses, then two
        ({"max_speculative_tokens": 0}, 0.0, 0),
    ):
        result = called(
            registry, "speculative_runner", prompt="abc", max_tokens=10, draft_model_id="small", **arguments
        )
        assert result.payload["verified_output"] == result.payload["text"] == expected("abc", 10)
        assert result.payload["acceptance_rate"] == kept and not result.is_deterministic
        assert result.native is not None and (result.native.drafted, result.native.drafts_kept) == (drafted, drafted)
        assert result.notes == (
            "draft_model 'small' is not loaded: guesses come from looking up what the text had before",
        )
    plain = called(registry, "native_infer", prompt="abc", max_tokens=10, decoder_strategy="greedy", temperature=2)
    assert plain.native is not None and plain.native.drafted == 0 and plain.payload["text"] == expected("abc", 10)
    assert called(registry, "native_infer", prompt="abc", decoder_strategy="speculative").payload["acceptance_rate"] > 0


def test_sampling_is_what_it_says() -> None:
    texts = {
        called(tools(), "native_infer", prompt="abc", max_tokens=10, seed=seed, decoder_strategy="sampling").payload[
            "text"
        ]
        for seed in range(3)
    }
    assert len(texts) == 3 and expected("abc", 10) not in texts
    default = called(tools(), "llama-default", prompt="abc", seed=1, max_tokens=10)
    assert set(default.payload) == {"text"} and default.payload["text"] != expected("abc", 10)


def test_what_an_engine_cannot_do_is_not_offered() -> None:
    offered = {drafts: tools(drafts).capabilities() for drafts in (False, True)}
    for name in NAMES:
        assert "speculative_decode" not in offered[False][name]
    assert "speculative_decode" in offered[True]["native_infer"] & offered[True]["speculative_runner"]
    assert offered[True]["native_inference_core"] >= {
        "tokenize",
        "kv_alloc",
        "model_step",
        "compile_grammar",
        "stream_until",
    }
    with pytest.raises(NodeError) as caught:
        called(tools(False), "speculative_runner", prompt="a")
    assert caught.value.code is Code.UNSUPPORTED_CAPABILITY


@pytest.mark.parametrize(
    ("name", "arguments", "needed"),
    [
        ("native_infer", {}, {"llm_generate"}),
        ("native_infer", {"kv_handle": "kv:x", "stop_condition": ""}, {"llm_generate"}),
        ("native_infer", {"output_schema": {}}, {"structured_generate"}),
        (
            "native_inference_core",
            {"output_schema": True, "stop_condition": "x"},
            {"structured_generate", "stream_output"},
        ),
        ("native_inference_core", {"draft_model": "x"}, {"speculative_decode"}),
        ("native_infer", {"decoder_strategy": "speculative"}, {"speculative_decode"}),
        ("native_infer", {"max_speculative_tokens": 3}, {"llm_generate"}),
        ("speculative_runner", {}, {"speculative_decode"}),
        ("grammar_enforced_infer", {"output_schema": '{"type": "object"}'}, {"structured_generate"}),
        ("llama-default", {}, {"llm_generate"}),
    ],
)
def test_a_call_needs_what_it_makes_use_of(name: str, arguments: JsonObject, needed: set[str]) -> None:
    permissions = tools().get(name).permissions({"prompt": "a", **arguments})
    assert {permission.kind for permission in permissions} == {"reasoning"}
    assert {permission.name for permission in permissions} == needed


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("native_infer", {}, "native_infer: prompt: Field required"),
        ("native_infer", {"prompt": "a", "seed": "x"}, "native_infer: seed: Input should be a valid integer"),
        ("native_infer", {"prompt": "a", "temperature": -1}, "temperature: Input should be greater than or equal to 0"),
        ("native_infer", {"prompt": "a", "output_schema": "{"}, "output_schema: Value error, it is no JSON Schema"),
        ("native_infer", {"prompt": "a", "decoder_strategy": "beam"}, "Input should be 'greedy', 'sampling' or"),
        ("grammar_enforced_infer", {"prompt": "a"}, "grammar_enforced_infer: output_schema: it is required"),
    ],
)
def test_arguments_are_checked(name: str, arguments: JsonObject, message: str) -> None:
    with pytest.raises(NodeError) as caught:
        called(tools(), name, **arguments)
    assert caught.value.code is Code.INVALID_INPUT and message in caught.value.message
    assert "\n" not in caught.value.message


def test_schemas_name_what_is_required() -> None:
    registry = tools()
    assert registry.names == NAMES and all(registry.get(name).is_llm for name in NAMES)
    assert registry.get("grammar_enforced_infer").schema["required"] == ["prompt", "output_schema"]
    assert "max_tokens" in registry.get("native_infer").schema["properties"]
