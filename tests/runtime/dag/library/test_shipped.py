"""The library that comes with the package: what its contracts promise."""

from pathlib import Path
from typing import NamedTuple

import pytest

from runtime.dag.contract.permission import Permission
from runtime.dag.contract.signature import Field
from runtime.dag.document.library import shipped_library
from runtime.dag.document.node import Assert, GenerateSubgraph, Graph, Node
from runtime.dag.document.parser import read_document
from runtime.dag.document.path import Reference, namespace, parse_reference, split_version
from runtime.dag.document.system_nodes import SYSTEM_GRAPHS
from runtime.dag.document.validator import validate

LIBRARY = shipped_library()
SHIPPED = [graph for graph in LIBRARY.graphs if graph.file]
LLM, STRUCTURED = Permission("reasoning", "llm_generate"), Permission("reasoning", "structured_generate")
STREAM, SPECULATE = Permission("reasoning", "stream_output"), Permission("reasoning", "speculative_decode")
TEXT, OBJECT = "/lib/reasoning/fallback_text@v1", "/lib/reasoning/fallback_structured@v1"


class Contract(NamedTuple):
    """needed, optional: inputs as "name:type"; an optional one as "name:type=default" where the library's
    specification gives a default. given, extra: outputs that are there always, or may be. Others may be added to what
    is optional, and nothing may be missing."""

    needed: str
    optional: str = ""
    given: str = ""
    extra: str = ""
    permissions: frozenset[Permission] = frozenset()
    on_error: str = ""
    stability: str = "stable"


CONTRACTS = {
    "/lib/reasoning/generate_text@v1": Contract(
        "prompt:string",
        "model:string seed:integer temperature:number=0.0 max_tokens:integer=256",
        "text:string",
        "kv_handle:string",
        frozenset([LLM]),
        TEXT,
    ),
    "/lib/reasoning/structured_generate@v1": Contract(
        "prompt:string output_schema:object",
        "model:string seed:integer",
        "parsed_output:object",
        permissions=frozenset([STRUCTURED]),
        on_error=OBJECT,
    ),
    "/lib/reasoning/continue_from_kv@v1": Contract(
        "kv_handle:string new_prompt:string",
        "model:string max_tokens:integer=256 seed:integer temperature:number=0.0",
        "continuation:string",
        "updated_kv_handle:string",
        frozenset([LLM]),
        TEXT,
    ),
    "/lib/reasoning/stream_until@v1": Contract(
        "prompt:string stop_condition:string",
        "model:string seed:integer max_tokens:integer=2048 temperature:number=0.0",
        "streamed_output:string",
        permissions=frozenset([STREAM]),
        on_error=TEXT,
    ),
    "/lib/reasoning/speculative_decode@v1": Contract(
        "prompt:string",
        "target_model:string draft_model:string max_speculative_tokens:integer=5 seed:integer temperature:number=0.0",
        "verified_output:string acceptance_rate:number",
        permissions=frozenset([SPECULATE]),
        on_error=TEXT,
        stability="experimental",
    ),
    "/lib/reasoning/decode_with@v1": Contract(
        "prompt:string decoder_strategy:string",
        "model:string seed:integer temperature:number max_tokens:integer=256 draft_model:string",
        "text:string",
        "kv_handle:string",
        frozenset([LLM, SPECULATE]),
        TEXT,
        "experimental",
    ),
    "/lib/reasoning/fallback_text@v1": Contract("error_context:object", given="text:string"),
    "/lib/reasoning/fallback_structured@v1": Contract("error_context:object", given="parsed_output:object"),
    "/lib/reasoning/try_catch@v1": Contract("try_block:string", "catch_block:string", "success:boolean"),
    "/lib/reasoning/hypothesize_and_verify@v1": Contract(
        "generator_path:string verifier_path:string",
        "max_hypotheses:integer=3",
        "verified_hypotheses:array",
        "best_hypothesis:any",
    ),
    "/lib/reasoning/stepwise_assert@v1": Contract("steps:array", "on_assertion_fail:string", "final_state:any"),
    "/lib/reasoning/iper_loop@v1": Contract(
        "user_intent:string planner_path:string", "max_reflections:integer=3", "final_result:any"
    ),
    "/lib/dslgraph/generate@v1": Contract(
        "prompt_template:string",
        "signature_validation:string=strict on_signature_violation:string on_generation_failure:string "
        "archive_on_success:string",
        "generated_paths:array success:boolean",
        permissions=frozenset([Permission("generate_subgraph", "", 2)]),
    ),
    "/lib/tool/list_available@v1": Contract("", "required_capabilities:array", "matching_tools:array"),
    "/lib/memory/state/set@v1": Contract(
        "key:string value:any", "", "success:boolean", permissions=frozenset([Permission("memory", "state_write")])
    ),
    "/lib/memory/state/get_latest@v1": Contract("key:string", "", "", "value:any"),
    "/lib/math/add": Contract(
        "a:number b:number", "", "sum:number", permissions=frozenset([Permission("tool", "calculate")])
    ),
    "/lib/utils/noop": Contract(""),
}
INFERENCE = [
    path for path, contract in CONTRACTS.items() if contract.permissions & {LLM, STRUCTURED, STREAM, SPECULATE}
]


def graph_of(path: str) -> Graph:
    graph = LIBRARY.find(parse_reference(path, ""))
    assert graph is not None, f"{path} is missing"
    return graph


def named(fields: tuple[Field, ...]) -> dict[str, Field]:
    return {field.name: field for field in fields}


def test_all_contracts_are_there_and_no_others() -> None:
    assert {graph.path for graph in SHIPPED} == set(CONTRACTS)
    assert len(SHIPPED) == len(CONTRACTS)


@pytest.mark.parametrize("path", CONTRACTS)
def test_inputs_are_those_of_the_contract(path: str) -> None:
    signature, contract = graph_of(path).signature, CONTRACTS[path]
    assert signature is not None
    fields = named(signature.inputs)
    needed = {name for name, field in fields.items() if field.required}
    assert needed == {entry.partition(":")[0] for entry in contract.needed.split()}
    for entry in f"{contract.needed} {contract.optional}".split():
        name, _, rest = entry.partition(":")
        kind, equals, default = rest.partition("=")
        assert fields[name].type == kind
        if equals:
            assert str(fields[name].default) == default
    for field in fields.values():
        assert field.required or field.has_default, f"{field.name} needs a default: templates read it"
        assert field.description or field.enum or path == "/lib/math/add" or field.name == "value"


@pytest.mark.parametrize("path", CONTRACTS)
def test_outputs_are_those_of_the_contract(path: str) -> None:
    signature, contract = graph_of(path).signature, CONTRACTS[path]
    assert signature is not None
    fields = named(signature.outputs)
    assert {name for name, field in fields.items() if field.required} == {
        entry.partition(":")[0] for entry in contract.given.split()
    }
    for entry in f"{contract.given} {contract.extra}".split():
        name, _, kind = entry.partition(":")
        assert fields[name].type == kind


@pytest.mark.parametrize("path", CONTRACTS)
def test_stability_version_and_permissions_are_those_of_the_contract(path: str) -> None:
    graph, contract = graph_of(path), CONTRACTS[path]
    assert graph.signature is not None
    assert (graph.signature.version, graph.signature.stability) == ("1.0", contract.stability)
    asked = {permission for node in graph.nodes for permission in node.permissions}
    assert asked | set(graph.permissions) == contract.permissions


@pytest.mark.parametrize("path", INFERENCE)
def test_inference_falls_back_and_names_the_engine(path: str) -> None:
    graph = graph_of(path)
    calls = [node for node in graph.nodes if node.type == "llm_call"]
    assert calls
    assert {str(node.on_error) for node in calls} == {CONTRACTS[path].on_error}
    assert ("tool", "native_inference_core") in graph.requires


def test_nothing_is_wrong_with_it() -> None:
    files = {graph.file for graph in SHIPPED}
    assert files
    for file in files:
        assert [str(problem) for problem in validate(read_document(Path(file), "strict"), LIBRARY, None)] == []


def named_by(node: Node) -> list[Reference]:
    """What templates give is not among it."""
    targets = list(node.next) if isinstance(node.next, tuple) else []
    match node.body:
        case Assert(_, Reference() as target) | GenerateSubgraph(on_signature_violation=Reference() as target):
            targets.append(target)
    return targets + ([node.on_error] if node.on_error else [])


def test_everything_that_is_named_is_there() -> None:
    nodes = {node.path for graph in SHIPPED for node in graph.nodes}
    for graph in SHIPPED:
        for node in graph.nodes:
            for reference in named_by(node):
                assert str(reference) in nodes or LIBRARY.find(reference) is not None, f"{node.path}: {reference}"
        for requirement in graph.requires:
            if requirement.kind == "lib":
                assert LIBRARY.find(parse_reference(requirement.name, "")) is not None


def test_references_find_the_newest_that_fits() -> None:
    for path in CONTRACTS:
        base, version = split_version(path)
        assert namespace(path) == "lib"
        for wanted in ("", *([f"@v{version}", f"@^{version}.0", "@latest"] if version else [])):
            assert graph_of(base + wanted).path == path
        if version:
            assert LIBRARY.find(parse_reference(base + "@v2", "")) is None
    assert set(SYSTEM_GRAPHS) - {"/lib/utils/noop"} <= {graph.path for graph in LIBRARY.graphs}
