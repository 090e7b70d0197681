"""What the benchmark does with its engines: fair cases, crashes, absence, wrong results."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from runtime.bench.child import Engine, Outcome, run_engine
from runtime.bench.measure import run_case
from runtime.bench.spec import ATTENTION_CASES, Case, Result, Spec, dump_spec, load_spec
from runtime.bench.table import print_table

SPEC = Spec(
    model="m.gguf",
    cases=ATTENTION_CASES,
    threads=1,
    runs=1,
    prompts=[[1]],
    text=[1],
    variant="",
    output="",
    cache_dir="",
)
RIGHT = list(range(20))


def fake_interpreter(folder: Path, script: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("script", "failure", "crashed"),
    [
        ("kill -SEGV $$", "crashed: SIGSEGV", True),
        ("echo \"ModuleNotFoundError: No module named 'llama_cpp'\" >&2; exit 1", "skipped: No module named", False),
        ("echo 'RuntimeError: no such file' >&2; exit 1", "failed: RuntimeError: no such file", False),
    ],
)
def test_a_peer_that_gives_no_result_says_why(tmp_path: Path, script: str, failure: str, crashed: bool) -> None:
    outcome = run_engine(Engine("peer", "llama_cpp_peer", "on"), SPEC, fake_interpreter(tmp_path, script))
    assert outcome.result is None and outcome.failure.startswith(failure) and outcome.crashed is crashed


def test_an_interpreter_that_is_not_there_is_skipped() -> None:
    assert run_engine(Engine("peer", "llama_cpp_peer", "on"), SPEC, "/no/python").failure.startswith("skipped")


def test_decoding_is_timed_without_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0

    class Slow:
        version = ""

        def prefill(self, prompts: list[list[int]]) -> None:
            nonlocal clock
            clock += sum(map(len, prompts))

        def decode(self, steps: int) -> None:
            nonlocal clock
            clock += 1000 * steps

    monkeypatch.setattr("runtime.bench.measure.time.perf_counter", lambda: clock)
    monkeypatch.setattr("runtime.bench.measure._wait_until_quiet", lambda: None)
    prompts = [[0] * 9 for _ in range(3)]
    assert run_case(Slow(), Case("", batch=2, context=4, steps=3), prompts).seconds == 3000  # type: ignore[arg-type]
    assert run_case(Slow(), Case("", batch=2, context=4, steps=0), prompts).seconds == 8  # type: ignore[arg-type]


def test_the_table_has_ratios_and_no_speed_for_wrong_results() -> None:
    def outcome(name: str, rate: float, predictions: list[int]) -> Outcome:
        result = Result(
            "v",
            rates={case.name: rate for case in ATTENTION_CASES if name != "alone" or case.batch == 1},
            predictions=predictions,
        )
        return Outcome(Engine(name, "", ""), result)

    file = StringIO()
    wrong = [*RIGHT[:-3], 0, 0, 0]
    print_table(
        Console(file=file, width=200),
        ATTENTION_CASES,
        [outcome("ours", 50.0, RIGHT), outcome("ours again", 75.0, RIGHT)],
        [
            outcome("transformers f32", 25.0, RIGHT),
            outcome("alone", 20.0, RIGHT),
            outcome("broken", 9999.0, wrong),
            Outcome(Engine("gone", "", ""), None, "crashed: SIGSEGV", crashed=True),
        ],
    )
    table = file.getvalue()
    assert "50.0 (2.00 x)" in table and "75.0 (3.00 x)" in table
    assert "9999" not in table and "wrong results" in table
    (alone,) = (line for line in table.splitlines() if "alone" in line)
    assert alone.split().count("-") == sum(case.batch > 1 for case in ATTENTION_CASES)
    assert "gone: crashed: SIGSEGV" in table


def test_a_spec_survives_its_way_to_the_child() -> None:
    assert load_spec(dump_spec(SPEC)) == SPEC
