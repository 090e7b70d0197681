"""`python -m runtime.dag`: what it prints and writes, and how it ends."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from program import started
from toy_document import block, document, graph, node

from runtime.dag.__main__ import main
from runtime.dag.trace.trace_writer import read_trace

GOOD = document(
    graph(
        "/main",
        node("start", "assign", assign={"x": "{{ $.x }}ü"}, next="end"),
        node("end", "assert", condition="length($.x) < 5"),
    )
)
BAD = document(block("/main/start", type="assert", condition="{{ $.x"))
WARNED = document(block("/main/start", type="start", loop_until="x"))


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Call = Callable[..., Outcome]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """The command line, in a folder with three documents."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name, text in (("good", GOOD), ("bad", BAD), ("warned", WARNED)):
        (tmp_path / f"{name}.md").write_text(text, encoding="utf-8")

    def call(*arguments: str) -> Outcome:
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        return Outcome(code, *capfd.readouterr())

    return call


def test_validate_tells_each_fault_in_a_line(call: Call) -> None:
    good = call("validate", "good.md")
    assert good == (0, "good.md: 1 graphs, 2 nodes, no errors\n", "")
    bad = call("validate", "bad.md")
    assert bad.code == 2 and bad.err == "" and len(bad.out.splitlines()) == 1
    assert bad.out.startswith("bad.md:") and "/main/start" in bad.out and "[ERR_EXEC.TEMPLATE]" in bad.out
    warned = call("validate", "warned.md")
    assert warned.code == 0 and warned.out.splitlines()[0].startswith("warning: warned.md:")
    assert "loop_until" in warned.out and warned.out.endswith("1 graphs, 1 nodes, no errors\n")
    several = call("validate", "good.md", "bad.md", "warned.md")
    assert several.code == 2 and len(several.out.splitlines()) == 4


def test_validate_takes_forms_that_only_models_write_unless_told_otherwise(call: Call, tmp_path: Path) -> None:
    (tmp_path / "loose.md").write_text("## AgenticDSL `/main/start`\n\n```yaml\ntype: start\n```\n")
    assert call("validate", "loose.md").code == 0
    strict = call("validate", "--strict", "loose.md")
    assert strict.code == 2 and "loose.md:" in strict.out


def test_run_prints_the_context_and_nothing_else(call: Call) -> None:
    outcome = call("run", "good.md", "--ctx", '{"x": "a"}')
    assert outcome.code == 0 and outcome.out == '{\n  "x": "aü"\n}\n'
    assert outcome.err.startswith("2 nodes in ") and len(outcome.err.splitlines()) == 1


def test_a_run_that_fails_says_why_and_what_it_leaves(call: Call) -> None:
    outcome = call("run", "good.md", "--ctx", '{"x": "[red]long[/red]"}')
    assert outcome.code == 1 and json.loads(outcome.out)["x"] == "[red]long[/red]ü"
    why = outcome.err.splitlines()[-1]
    assert why == "failed: assertion failed: length($.x) < 5 [ERR_ASSERT_FAILED]"


def test_a_long_reason_is_one_line(call: Call, tmp_path: Path) -> None:
    text = document(block("/main/start", type="assert", condition=" and ".join(["$.x == 1"] * 40)))
    (tmp_path / "long.md").write_text(text)
    outcome = call("run", "long.md", "--ctx", '{"x": 2}')
    assert outcome.code == 1 and len(outcome.err.splitlines()) == 2


def test_the_context_can_be_a_file(call: Call, tmp_path: Path) -> None:
    (tmp_path / "ctx.json").write_text('{"x": "é"}', encoding="utf-8")
    assert json.loads(call("run", "good.md", "--ctx", "@ctx.json").out) == {"x": "éü"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ctx", "{"], "--ctx: this is no JSON"),
        (["--ctx", "[1]"], "--ctx: a context is an object"),
        (["--ctx", "@nothing.json"], "nothing.json"),
        (["--ctx", "[" * 100_000], "--ctx: this is no JSON"),
        (["--tools", "no_such_module"], "--tools no_such_module"),
        (["--trace", "good.md/trace.jsonl"], "cannot write the trace good.md/trace.jsonl"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(call: Call, arguments: list[str], words: str) -> None:
    outcome = call("run", "good.md", *arguments)
    assert outcome.code == 2 and outcome.out == ""
    assert outcome.err.startswith("error: ") and words in outcome.err and len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize("command", ["run", "graph", "validate"])
def test_files_that_cannot_be_read_are_one_line(call: Call, tmp_path: Path, command: str) -> None:
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe\x00")
    for name in ("nothing.md", "binary.md", "."):
        outcome = call(command, name)
        assert outcome.code == 2 and outcome.out == "" and len(outcome.err.splitlines()) == 1
        assert outcome.err.startswith("error: ")


def test_a_document_with_errors_does_not_run(call: Call, tmp_path: Path) -> None:
    outcome = call("run", "bad.md", "--trace", "trace.jsonl")
    assert outcome.code == 2 and outcome.out == "" and "[ERR_EXEC.TEMPLATE]" in outcome.err
    assert outcome.err.startswith("bad.md:") and len(outcome.err.splitlines()) == 1
    (tmp_path / "empty.md").write_text("nothing\n")
    outcome = call("run", "empty.md")
    assert outcome.code in (1, 2) and "ERR_MISSING_ENTRY_POINT" in outcome.err


def test_traces_and_views_are_written_however_a_run_ends(call: Call, tmp_path: Path) -> None:
    for x, code in (("a", 0), ("long", 1)):
        ctx = json.dumps({"x": x})
        assert call("run", "good.md", "--ctx", ctx, "--trace", "sub/t.jsonl", "--view", "v.html").code == code
        records = read_trace(tmp_path / "sub" / "t.jsonl")
        assert [record.node_path for record in records] == ["/main/start", "/main/end"]
        assert [record.status for record in records] == ["success", "failed" if code else "success"]
        page = (tmp_path / "v.html").read_text(encoding="utf-8")
        assert page.lstrip().lower().startswith("<!doctype html") and "/main/end" in page and "good.md" in page


def test_public_functions_of_a_module_are_tools(call: Call, tmp_path: Path) -> None:
    name = f"own_tools_{os.getpid()}"
    module = "from json import dumps\n\ndef double(x: int) -> int:\n    return 2 * x\n\ndef _hidden():\n    pass\n"
    (tmp_path / f"{name}.py").write_text(module)
    for tool, code in (("double", 0), ("_hidden", 1), ("dumps", 1)):
        fields = {"arguments": {"x": "{{ $.x }}"}, "output_keys": ["y"]}
        (tmp_path / "tools.md").write_text(document(block("/main/start", type="tool_call", tool=tool, **fields)))
        outcome = call("run", "tools.md", "--ctx", '{"x": 21}', "--tools", name)
        assert outcome.code == code, outcome.err
        assert (json.loads(outcome.out).get("y") == 42) == (code == 0)
    sys.modules.pop(name, None)


def test_a_graph_is_drawn(call: Call, tmp_path: Path) -> None:
    drawn = call("graph", "good.md")
    assert drawn.code == 0 and "start" in drawn.out and "end" in drawn.out and drawn.err == ""
    assert call("graph", "good.md", "--svg", "drawing.svg") == (0, "", "")
    assert (tmp_path / "drawing.svg").read_text().startswith("<svg")
    refused = call("graph", "good.md", "--svg", "no/such/folder.svg")
    assert refused.code == 2 and refused.err.startswith("error: cannot write no/such/folder.svg")
    (tmp_path / "empty.md").write_text("nothing\n")
    assert call("graph", "empty.md").code == 2


def test_nonsense_is_refused_with_the_usage(call: Call) -> None:
    for arguments in ([], ["fly"], ["run"], ["validate"], ["run", "good.md", "--nonsense"]):
        outcome = call(*arguments)
        assert outcome.code == 2 and outcome.err.startswith("usage: python -m runtime.dag")
    assert call("run", "--help").code == 0


def test_ctrl_c_leaves_the_trace_so_far(tmp_path: Path) -> None:
    """In a tool that hangs, beside a branch that has ended."""
    nodes = (
        node("start", "fork", branches=["quick", "slow"]),
        node("quick", "start"),
        node("slow", "tool_call", tool="hang", arguments={}, output_keys=["x"]),
    )
    (tmp_path / "slow.md").write_text(document(graph("/main", *nodes)))
    text = "import time\n\ndef hang() -> None:\n    open('hanging', 'w').close()\n    time.sleep(1000)\n"
    (tmp_path / "own_tools.py").write_text(text)
    arguments = ["run", "slow.md", "--tools", "own_tools", "--trace", "t.jsonl", "--view", "v.html"]
    process = started(tmp_path, "runtime.dag", *arguments)
    deadline = time.monotonic() + 60
    while not (tmp_path / "hanging").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
    records = {record.node_path: record.status for record in read_trace(tmp_path / "t.jsonl")}
    assert records == {"/main/quick": "success", "/main/slow": "cancelled", "/main/start": "cancelled"}
    assert "/main/slow" in (tmp_path / "v.html").read_text()
