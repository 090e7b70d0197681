"""`+experiment=dag`, of a small size, on small models of both families."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.dag.trace.trace_writer import read_trace
from runtime.dag.workload.job import DagJob

QUICK = ["+experiment=dag", "kernels=reference", "workload.passage_tokens=100", "workload.repeats=1"]
FAILING = """## AgenticDSL `/main/fail`
```yaml
# --- BEGIN AgenticDSL ---
type: assert
condition: "false"
# --- END AgenticDSL ---
```
"""


@pytest.mark.parametrize("model", ["llama-1m", "rwkv7-1m"])
def test_a_fork_shares_what_requests_repeat_and_gives_the_same(command: Callable, model: str) -> None:
    outcome = command(*QUICK, f"model={model}")
    assert outcome.code == 0, outcome.err
    (folder,) = outcome.folders()
    figures = json.loads((folder / "metrics.json").read_text())
    summary, sharing = figures["summary"], figures["sharing"]
    prefilled = [summary[f"{variant}/prefilled_tokens"] for variant in VARIANTS]
    assert prefilled[0] == sharing["distinct_prompt"]  # nothing twice
    assert prefilled[1] == prefilled[2] > 3 * prefilled[0]
    assert prefilled[3] == prefilled[0] <= prefilled[4] < prefilled[1]
    assert len({summary[f"{variant}/new_tokens"] for variant in VARIANTS}) == 1
    assert "8 inferences, the same answers" in outcome.out
    records = read_trace(folder / "trace.jsonl")
    inferences = [record.native_inference for record in records if record.native_inference is not None]
    assert len(inferences) == 8 and all(each.batch_size > 4 for each in inferences)
    answers = records[-2].budget_snapshot
    assert answers["llm_calls_left"] == 0
    assert "<html" in (folder / "view.html").read_text()[:200].lower()


VARIANTS = (
    "document",
    "independent, together",
    "independent, one by one",
    "prefix index, together",
    "prefix index, one by one",
)


def test_a_document_that_fails_is_one_line(command: Callable, tmp_path: Path) -> None:
    (tmp_path / "fails.md").write_text(FAILING)
    outcome = command(*QUICK, "model=llama-1m", f"workload.document={tmp_path / 'fails.md'}")
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and "assertion failed" in outcome.err


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("workload.document=/no/such.md", "/no/such.md"),
        ("workload.context=/no/such.json", "/no/such.json"),
        ("workload.repeats=0", "workload.repeats must be 1 or more"),
        ("workload.passage_tokens=-1", "workload.passage_tokens must be 0 or more"),
    ],
)
def test_a_mistake_is_one_line(command: Callable, tmp_path: Path, setting: str, message: str) -> None:
    outcome = command(*QUICK, "model=llama-1m", setting)
    assert outcome.code == 2 and message in outcome.err and outcome.err.count("\n") == 1
    assert not [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]


def test_answers_that_differ_end_the_run(command: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = DagJob._measure_requests

    def other(*arguments: object) -> object:
        measured = measure(*arguments)
        return measured._replace(texts=[text + "!" for text in measured.texts])

    monkeypatch.setattr(DagJob, "_measure_requests", other)
    outcome = command(*QUICK, "model=llama-1m")
    assert outcome.code == 1 and "independent, together" in outcome.err and outcome.err.count("\n") == 1


def test_an_interruption_claims_nothing(command: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(DagJob, "_measure_requests", interrupted)
    outcome = command(*QUICK, "model=llama-1m")
    assert outcome.code == 130 and "interrupted before" in outcome.out
    assert read_trace(outcome.folders()[0] / "trace.jsonl")
