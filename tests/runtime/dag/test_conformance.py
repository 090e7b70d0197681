"""The language, rule by rule: each of `documents/` says at its top what a run of it has to come to."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.dag.contract.permission import Permission
from runtime.dag.document.blocks import Level
from runtime.dag.document.parser import parse_document
from runtime.dag.errors import Code, DocumentError, NodeError
from runtime.dag.execution.dsl_engine import DSLEngine
from runtime.dag.execution.result import RunResult
from runtime.dag.tools.inference_tools import InferenceTool, inference_tools
from runtime.dag.tools.tool import Invocation, ToolResult

DOCUMENTS = sorted((Path(__file__).parent / "documents").glob("*.md"))
OPENING, CLOSING = "<!-- expect: ", " -->\n"


@dataclass(frozen=True)
class Expected:
    """What a document says of its run.

    context: fields of the final context; absent: fields that it has not. error: a code, whose run has failed.
    ran: paths of all nodes that ran, in order, or sorted if `sorted` (branches run at once); has_ran: some of them.
    problems, warnings: codes of what is wrong with the document; with `problems` it does not run.
    level: "tolerant" if it is no document for the strict reader. ctx: the context to begin with.
    tools: what tools of these names give; engine: what the engine gives; {"raise": text}: they fail.
    llm: what the model `llama-default` answers, one after the other; then it fails. prompts: what it was asked.
    """

    context: dict[str, Any] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    success: bool | None = None
    error: str | None = None
    ran: list[str] | None = None
    sorted: bool = False
    has_ran: list[str] = field(default_factory=list)
    not_ran: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    level: Level = "strict"
    ctx: dict[str, Any] = field(default_factory=dict)
    tools: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] | None = None
    llm: list[str] | None = None
    prompts: list[str] | None = None


@dataclass
class Model:
    """Says what it was told to say."""

    answers: list[str]
    prompts: list[str] = field(default_factory=list)

    def generate(self, prompt: str, params: dict[str, Any]) -> dict[str, Any]:
        self.prompts.append(prompt)
        if len(self.prompts) > len(self.answers):
            return {"success": False, "text": "", "error": "there is nothing left to say"}
        return {"success": True, "text": self.answers[len(self.prompts) - 1]}


@dataclass(frozen=True)
class Engine:
    """`native_inference_core`, with its permissions and capabilities, and without a model."""

    payload: dict[str, Any]
    tool: InferenceTool

    @property
    def name(self) -> str:
        return self.tool.name

    @property
    def description(self) -> str:
        return self.tool.description

    @property
    def schema(self) -> dict[str, Any]:
        return self.tool.schema

    @property
    def capabilities(self) -> frozenset[str]:
        return self.tool.capabilities

    @property
    def is_llm(self) -> bool:
        return True

    def permissions(self, arguments: dict[str, Any]) -> tuple[Permission, ...]:
        return self.tool.permissions(arguments)

    async def call(self, arguments: dict[str, Any], invocation: Invocation) -> ToolResult:
        if "raise" in self.payload:
            raise NodeError(Code.GENERATION, self.payload["raise"])
        return ToolResult(self.payload)

    @classmethod
    def giving(cls, payload: dict[str, Any]) -> "Engine":
        driver: Any = SimpleNamespace(model=SimpleNamespace(drafts=True))
        return cls(payload, next(tool for tool in inference_tools(driver) if tool.name == "native_inference_core"))


def read(path: Path) -> tuple[str, Expected]:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(OPENING), f"{path} does not begin with what is expected of it"
    return text, Expected(**json.loads(text[len(OPENING) : text.index(CLOSING)]))


def tool(payload: Any) -> Callable[..., Any]:
    def give(arguments):  # type: ignore[no-untyped-def]  # without a type it takes any arguments
        if isinstance(payload, dict) and "raise" in payload:
            raise RuntimeError(payload["raise"])
        return payload

    return give


def ran(result: RunResult) -> list[str]:
    """What a budget has refused has not run."""
    records = sorted(result.traces, key=lambda record: record.number)
    return [
        record.node_path
        for record in records
        if record.status in ("success", "failed") and record.error_code != Code.BUDGET_EXCEEDED
    ]


def check(result: RunResult, expected: Expected) -> None:
    assert result.error == expected.error, result.message
    assert result.success == (expected.error is None if expected.success is None else expected.success)
    assert {key: result.final_context.get(key) for key in expected.context} == expected.context
    assert not result.final_context.keys() & set(expected.absent)
    paths = ran(result)
    if expected.ran is not None:
        assert (sorted(paths) if expected.sorted else paths) == (
            sorted(expected.ran) if expected.sorted else expected.ran
        )
    assert set(expected.has_ran) <= set(paths)
    assert not set(paths) & set(expected.not_ran)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_a_document_does_what_it_says(path: Path) -> None:
    text, expected = read(path)
    engine = DSLEngine.from_markdown(text)
    model = Model(expected.llm or [])
    if expected.llm is not None:
        engine.register_llm_tool("llama-default", model)
    if expected.engine is not None:
        engine.get_tool_registry().add(Engine.giving(expected.engine))
    for name, payload in expected.tools.items():
        engine.register_tool(name, tool(payload))
    problems = engine.problems()
    assert [str(problem.code) for problem in problems if not problem.is_error] == expected.warnings
    if expected.problems:
        with pytest.raises(DocumentError) as refused:
            engine.run(expected.ctx)
        assert [str(problem.code) for problem in refused.value.problems] == expected.problems
        return
    assert [str(problem) for problem in problems if problem.is_error] == []
    check(engine.run(expected.ctx), expected)
    if expected.prompts is not None:
        assert model.prompts == expected.prompts


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_a_document_is_one_for_its_reader(path: Path) -> None:
    """What the strict reader takes is the same for the tolerant one, and a document for that one needs it."""
    text, expected = read(path)
    strict, tolerant = (parse_document(text, "", level) for level in ("strict", "tolerant"))
    if expected.level == "tolerant":
        assert strict.graphs != tolerant.graphs and any(problem.is_error for problem in strict.problems)
    else:
        assert strict == tolerant


def test_there_are_documents() -> None:
    assert len(DOCUMENTS) > 100
