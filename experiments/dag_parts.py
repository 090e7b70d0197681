"""What two parts of running documents save: liveness, which gives memory back at the last node that can use it, and L0,
which remembers calls.

    python experiments/dag_parts.py                     # llama-4m and rwkv7-4m; settings as for runtime.run

A chain of texts, each continued from the handle of the one before, is run twice: as it is, and with an assertion at its
end that reads every handle, so that none can go before. Then the same chain of calls is run again on the same engine.
"""

import sys
import time

from rich.console import Console
from rich.table import Table

from runtime.assembly import assemble
from runtime.command_line import compose_settings
from runtime.dag.execution.dsl_engine import DSLEngine
from runtime.dag.execution.result import RunResult
from runtime.dag.inference.driver import InferenceDriver

MODELS = ("llama-4m", "rwkv7-4m")
LENGTH, NEW_TOKENS = 12, 24
BLOCK = "## AgenticDSL `{path}`\n\n```yaml\n# --- BEGIN AgenticDSL ---\n{body}# --- END AgenticDSL ---\n```\n"


def chain(reads_all: bool) -> str:
    """A document: a text, and its continuations. reads_all: each handle has a field of its own, read at the end."""
    fields = [f"handle{i}" if reads_all else "handle" for i in range(LENGTH)]
    nodes = ["graph_type: subgraph\nentry: n0\nnodes:\n"]
    for i, field in enumerate(fields):
        past = "" if i == 0 else f'      kv_handle: "{{{{ $.{fields[i - 1]} }}}}"\n'
        nodes.append(
            f"  - id: n{i}\n    type: tool_call\n    tool: native_infer\n    arguments:\n"
            f'      prompt: " And then {i}"\n      max_tokens: {NEW_TOKENS}\n{past}'
            f"    output_mapping: {{text: text{i}, kv_handle: {field}}}\n    next: n{i + 1}\n"
        )
    condition = " and ".join(f"$.{field} != ''" for field in fields) if reads_all else "true"
    nodes.append(f'  - id: n{LENGTH}\n    type: assert\n    condition: "{condition}"\n')
    return BLOCK.format(path="/main", body="".join(nodes))


def calls() -> str:
    """A document: the same library calls, one after the other."""
    nodes = ["graph_type: subgraph\nentry: n0\nnodes:\n"]
    for i in range(LENGTH):
        nodes.append(
            f'  - id: n{i}\n    type: assign\n    assign: {{prompt: "Chapter {i}", max_tokens: {NEW_TOKENS}}}\n'
            f'    next: ["/lib/reasoning/generate_text@v1", n{i + 1}]\n'
        )
    nodes.append(f"  - id: n{LENGTH}\n    type: end\n")
    return BLOCK.format(path="/main", body="".join(nodes))


def timed(engine: DSLEngine) -> tuple[RunResult, float]:
    start = time.perf_counter()
    result = engine.run()
    if not result.success:
        raise SystemExit(result.message)
    return result, time.perf_counter() - start


def main() -> None:
    table = Table(title=f"a chain of {LENGTH} inferences", title_justify="left")
    for column in ("model", "blocks held, all handles read", "as it is", "first run ms", "recalled ms"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for model in MODELS:
        assembly = assemble(compose_settings([f"model={model}", *sys.argv[1:]]))
        held = []
        for reads_all in (True, False):
            result, _ = timed(DSLEngine.from_markdown(chain(reads_all), InferenceDriver.of(assembly)))
            held.append(max(sample.held for sample in result.memory))
        timed(DSLEngine.from_markdown(calls(), InferenceDriver.of(assembly)))  # compiles and captures
        engine = DSLEngine.from_markdown(calls(), InferenceDriver.of(assembly))
        _, first = timed(engine)
        _, second = timed(engine)
        table.add_row(model, *map(str, held), f"{first * 1e3:.1f}", f"{second * 1e3:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
