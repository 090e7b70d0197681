"""Each comparison among the experiments, of small sizes, on small models of both families."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.command_line import CONF
from runtime.comparison.result import ComparisonMetrics
from runtime.interrupt import DeferredInterrupt

SMALL = {
    "prefix_sharing": "{name: shared_prefix, count: 3, shared_tokens: 40, own_tokens: 3, new_tokens: 2}",
    "recurrent_state_cache": "{name: conversation, count: 1, turns: 3, turn_tokens: 20, new_tokens: 3}",
    "structured": "{name: json, path: %s, new_tokens: 64}",
    "speculative": "{name: repeating, count: 1, passage_tokens: 6, repeats: 3, new_tokens: 8, temperature: 0}",
    "chunked_prefill": "{name: latecomers, first: {count: 2, prompt_tokens: 4, new_tokens: 6}, "
    "late: {count: 1, prompt_tokens: 80, new_tokens: 2}, every: 3, urgent: false}",
    "preemption": "{name: latecomers, first: {count: 3, prompt_tokens: 4, new_tokens: 20}, "
    "late: {count: 1, prompt_tokens: 8, new_tokens: 2}, every: 9, urgent: true}",
}
SPARED = {"prefix_sharing": [129, 46], "recurrent_state_cache": [129, 62]}  # prompt tokens fed, without and with it
QUICK = ["kernels=reference", "workload.models=[llama-1m,rwkv7-1m]", "workload.repeats=1"]


@pytest.fixture
def compare(command: Callable, tmp_path: Path) -> Callable:
    """An experiment of a small size."""

    def call(experiment: str, *settings: str) -> tuple:
        task = (CONF.parent / "experiments" / "data" / "json_tasks.jsonl").read_text().splitlines()[1]
        (tmp_path / "task.jsonl").write_text(task)
        requests = SMALL[experiment].replace("%s", str(tmp_path / "task.jsonl"))
        outcome = command(f"+experiment={experiment}", f"workload.requests=[{requests}]", *QUICK, *settings)
        (folder,) = (tmp_path / "outputs").glob("*/*") if outcome.code != 2 else [tmp_path]
        return outcome, folder

    return call


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("experiment", [name for name in SMALL if name != "structured"])
def test_it_runs_and_leaves_a_table_and_a_plot(compare: Callable, experiment: str) -> None:
    settings = ["batching.token_budget=64"] if experiment != "chunked_prefill" else []
    outcome, folder = compare(experiment, *settings)
    assert outcome.code == 0, outcome.err
    assert "token for token" in outcome.out and outcome.folders() == [folder]
    results = rows(folder)
    variants = len({row["variant"] for row in results})
    assert variants >= 2 and [row["model"] for row in results] == ["llama-1m"] * variants + ["rwkv7-1m"] * variants
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "metrics.json").read_text())["trials"] == results
    if experiment in SPARED:
        assert [row["prefilled_tokens"] for row in results] == pytest.approx(SPARED[experiment] * 2, abs=4)
    kinds = [json.loads(line)["event"] for line in (folder / "events.jsonl").read_text().splitlines()]
    assert kinds.count("TrialBegan") == len(results)


def test_answers_that_differ_end_the_run(compare: Callable) -> None:
    other = "{name: other, set: ['decoder=sampling', 'decoder.temperature=3']}"
    outcome, folder = compare("prefix_sharing", f"workload.variants=[{{name: one, set: []}},{other}]")
    assert outcome.code == 1 and outcome.err.count("\n") == 1
    assert outcome.err.startswith("error: llama-1m, shared_prefix, other: not the answers of 'one': token ")
    assert rows(folder) == []


def test_structured_answers_are_valid_and_may_differ_from_free_ones(compare: Callable) -> None:
    outcome, folder = compare("structured", "workload.models=[llama-1m]")
    assert outcome.code == 0, outcome.err
    assert [row["valid"] for row in rows(folder)] == [1.0, 1.0, 0.0]
    assert (
        len({row["new_tokens"] for row in rows(folder)[:2]}) == 1
        and rows(folder)[0]["steps"] > rows(folder)[1]["steps"]
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["workload.models=[llama-9m]"], "model=llama-9m cache.prefix=none: unknown choice model=llama-9m"),
        (
            ["workload.variants=[{name: a, set: []},{name: b, set: ['cache.prefx=none']}]"],
            "did you mean 'cache.prefix'",
        ),
        (["workload.variants=[{name: a, set: []},{name: a, set: []}]"], "with names of their own"),
        (["workload.may_differ=[no sharing]"], "must name some of radix"),
        (["workload.columns=[speed]"], "workload.columns[0] must be one of prefilled_tokens"),
        (["cache.blocks=1"], "raise cache.blocks or cache.memory_mib"),
        (["model=llama-1m"], "without model=<choice>"),
        (["workload.text=/no/such.txt"], "/no/such.txt"),
    ],
)
def test_a_mistake_is_one_line(compare: Callable, tmp_path: Path, settings: list[str], message: str) -> None:
    outcome, _ = compare("prefix_sharing", *settings)
    assert outcome.code == 2 and message in outcome.err and outcome.err.count("\n") == 1
    assert not [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]


def test_the_model_of_the_run_is_compared_if_no_other_is_named(command: Callable, tiny_gguf: Path) -> None:
    kind = "{name: plain, count: 2, prompt_tokens: 5, new_tokens: 3, temperature: 1}"
    requests = f"workload.requests=[{kind},{kind}]"
    model = ["model=file", f"model.source={tiny_gguf}", "model.dtype=f32", "cache.dtype=f32", "kernels=reference"]
    outcome = command("workload=comparison", "workload.models=[]", requests, *model)
    assert outcome.code == 0, outcome.err
    found = [(row["model"], row["requests"]) for row in rows(outcome.folders()[0])]
    assert found == [("tiny", "plain")] * 2 + [("tiny", "plain 2")] * 2


def test_an_interruption_keeps_the_trials_so_far(compare: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt = DeferredInterrupt()
    conclude = ComparisonMetrics.conclude

    def conclude_and_interrupt(metrics: ComparisonMetrics) -> list[dict]:
        interrupt.requested = True  # as Ctrl-C would, between the first model and the second
        return conclude(metrics)

    monkeypatch.setattr("runtime.comparison.job.DeferredInterrupt", lambda: interrupt)
    monkeypatch.setattr(ComparisonMetrics, "conclude", conclude_and_interrupt)
    outcome, folder = compare("prefix_sharing")
    assert outcome.code == 130 and outcome.err == ""
    assert [(row["model"], row["variant"]) for row in rows(folder)] == [
        ("llama-1m", "no sharing"),
        ("llama-1m", "radix"),
    ]
    assert (folder / "comparison.png").exists() and "rwkv7" not in outcome.out


def test_an_interruption_of_the_first_trial_claims_nothing(compare: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt = DeferredInterrupt()
    interrupt.requested = True
    monkeypatch.setattr("runtime.comparison.job.DeferredInterrupt", lambda: interrupt)
    outcome, folder = compare("prefix_sharing")
    assert outcome.code == 130 and rows(folder) == []
    assert "interrupted before" in outcome.out and "token for token" not in outcome.out
