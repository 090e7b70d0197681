"""Documents made of Python objects, and what is left of their runs on the toy engine."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from toy_driver import ToyEncoder
from toy_model import toy_continuation

from runtime.dag.execution.dsl_engine import DSLEngine
from runtime.dag.execution.result import RunResult
from runtime.dag.inference.driver import InferenceDriver
from runtime.dag.trace.record import TraceRecord


def block(path: str, **fields: Any) -> str:
    """`next_`: as `next` is a name of Python's."""
    text = json.dumps({key.removesuffix("_"): value for key, value in fields.items()})
    return f"# AgenticDSL `{path}`\n```yaml\n# --- BEGIN AgenticDSL ---\n{text}\n# --- END AgenticDSL ---\n```\n\n"


def node(id: str, type: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, "type": type, **{key.removesuffix("_"): value for key, value in fields.items()}}


def graph(path: str, *nodes: dict[str, Any], **fields: Any) -> str:
    return block(path, graph_type="subgraph", nodes=list(nodes), **fields)


def document(*blocks: str, entry: str | None = "/main/start", mode: str = "dev", **fields: Any) -> str:
    """fields: more of `/__meta__`. entry: None: it says none."""
    more = {} if entry is None else {"entry_point": entry}
    return block("/__meta__", version="3.10", mode=mode, **more, **fields) + "".join(blocks)


def expected(prompt: str, count: int) -> str:
    """What the toy model says, alone."""
    return ToyEncoder().decode(toy_continuation(list(prompt.encode()), count))


def paths(traces: Sequence[TraceRecord], status: str | None = None) -> list[str]:
    """Of the nodes of a trace, or of those of one status, in the order in which they ended."""
    return [record.node_path for record in traces if status in (None, record.status)]


def inferences(result: RunResult) -> int:
    """How many the engine has served."""
    return sum(record.native_inference is not None for record in result.traces)


def is_balanced(driver: InferenceDriver) -> bool:
    """Whether nothing of the engine's memory is held, and nobody is waiting for it."""
    engine = driver._engine
    engine.store.allocator.check()
    is_still = not driver._jobs and not driver._waiting and not driver._prefixes._computing
    is_free = engine.ledger().held == 0 and len(engine.store.handles) == 0 and not engine._handles
    return is_still and is_free and len(driver.handles) == 0 and not engine._sequences and not driver.activity._working


def run_alone(engine: DSLEngine, ctx: dict[str, Any] | None = None, **options: Any) -> RunResult:
    """A run in a loop in which nothing else is left at its end."""

    async def run() -> RunResult:
        result = await engine.run_async(ctx, **options)
        await nothing_else_runs()
        return result

    return asyncio.run(run())


async def nothing_else_runs() -> None:
    """Fails if any task but this one is there in a moment."""
    for _ in range(50):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def check_trace(traces: Sequence[TraceRecord], *joins: str) -> None:
    """Each node that was reached has one record, in documents without loops. joins: paths of joins that are not reached
    where a branch of their fork has failed."""
    assert [record.number for record in traces] == list(range(len(traces)))
    counts = Counter((record.node_path, record.branch, record.depth) for record in traces)
    assert set(counts.values()) <= {1}, counts.most_common(3)
    for record in traces:
        for path in record.next_paths if record.status == "success" else ():
            if path.startswith(("/lib", "/dynamic", "/__system__")):
                break  # what stands behind a call is reached if that succeeds
            above = [record.branch[:i] for i in range(len(record.branch) + 1)]
            found = [other for other in traces if other.node_path == path and other.branch in above]
            assert found or path in joins, f"{path} was reached, and has no record"
