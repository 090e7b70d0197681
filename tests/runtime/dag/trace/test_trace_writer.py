"""Traces in files."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_trace import HOSTILE, record, sample_records

from runtime.dag.trace.record import TraceRecord
from runtime.dag.trace.trace_writer import TraceWriter, as_json, as_line, from_json, read_trace, write_trace
from runtime.errors import UserError

TEXT = st.text(st.characters()) | st.just(HOSTILE)  # halves of surrogate pairs, too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=4)


@st.composite
def traces(draw: Any) -> list[TraceRecord]:
    return [
        replace(
            one,
            node_path=draw(TEXT),
            branch=tuple(draw(st.lists(st.integers(0, 9), max_size=3))),
            next_paths=tuple(draw(st.lists(TEXT, max_size=2))),
            status=draw(st.sampled_from(["success", "failed", "skipped", "cancelled"])),
            context_delta=draw(OBJECT),
            context_snapshot=draw(st.none() | OBJECT),
            llm_intent=draw(JSON),
            expected_output=draw(JSON),
            output_match=draw(st.none() | st.booleans()),
            error=draw(st.none() | TEXT),
            metadata=draw(OBJECT),
        )
        for one in draw(st.lists(st.sampled_from(sample_records()), max_size=3))
    ]


@given(trace=traces())
def test_what_is_read_is_what_was_written(trace: list[TraceRecord], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("trace") / "folder" / "trace.jsonl"
    write_trace(path, trace)
    assert read_trace(path) == trace
    assert path.read_bytes().count(b"\n") == len(trace)


def test_a_record_has_the_names_of_all_versions() -> None:
    value = as_json(sample_records()[3])
    newest = {"node_id", "node_type", "timestamp", "status", "latency_ms", "context_snapshot", "budget_snapshot"}
    older = {"trace_id", "node_path", "type", "start_time", "end_time", "error_code", "context_delta", "metadata",
             "ctx_snapshot_key", "ctx_snapshot_available", "llm_intent", "mode", "expected_output", "output_match",
             "lib_version", "llm_call", "dsl_call", "generate_subgraph"}  # fmt: skip
    assert newest | older | {"native_inference"} <= set(value)
    assert value["node_id"] == value["node_path"] == "/main/ask0"
    assert value["node_type"] == value["type"] == "llm_call"
    assert value["latency_ms"] == 1380.0
    assert value["native_inference"]["reused_tokens"] == 1150


def test_numbers_that_are_none_become_texts() -> None:
    line = as_line(record(0, "/a", "assign", 0.0, 1.0, context_delta={"a": [float("nan"), -float("inf")]}))
    strict = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert strict["context_delta"] == {"a": ["nan", "-inf"]}


def test_a_record_is_in_the_file_at_once(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t.jsonl") as writer:
        for count, one in enumerate(sample_records(), 1):
            writer.write(one)
            assert len(read_trace(tmp_path / "t.jsonl")) == count


def test_records_of_others_are_read_as_far_as_they_go() -> None:
    value = as_json(sample_records()[0])
    for field in ("metadata", "next_paths", "native_inference", "llm_intent"):
        del value[field]
    assert from_json({**value, "of_another_version": 1}) == replace(sample_records()[0], next_paths=())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{}", "'trace_id' is missing|missing"),
        (b"[1]", "this is no record"),
        (b"{", "this is no record"),
        (b"\xff\xfe", "this is no record"),
        (b"[" * 100_000, "this is no record"),
        (b'{"branch": 3}', "this is no record"),
    ],
)
def test_what_is_no_trace_is_one_line(tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(as_line(sample_records()[0]) + b"\n" + text + b"\n")
    with pytest.raises(UserError, match=said) as caught:
        read_trace(path)
    assert f"{path}:3:" in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_cannot_be_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the trace"):
        read_trace(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match="cannot write the trace"):
        TraceWriter(tmp_path)
