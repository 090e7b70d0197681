"""A user's mistake is one line on stderr and exit code 2; a run writes its folder."""

import json
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from program import started

from runtime.command_line import CONF

EXPERIMENTS = ["batch_sweep", "exact", "sampling"]  # those that serve prompts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("modle.source=x", "did you mean 'model.source'"),
        ("model.sorce=x", "did you mean 'model.source'"),
        ("+cache.blokcs=3", "did you mean 'cache.blocks'"),
        ("decoder.temperature=0.3", "needs decoder=sampling"),
        ("decoder=gredy", "did you mean 'greedy'"),
        ("+experiment=exakt", "did you mean 'exact'"),
        ("experiment=exact", "+experiment=<choice>"),
        ("+model.source=x", "without the leading +"),
        ("workload=file", "workload.path has no value"),
        ("model.source=${nothing}", "nothing"),
        ("model=3", "Config group override"),
        ("cache=null", "Config group override"),
        ("prompts", "write key=value"),
        ("--fast", "unknown option --fast"),
        ("a=[", "cannot read a=["),
        ("model=file model.source=/no/such/file.gguf", "does not exist"),
        ("kernels.device=cuda", "finds no GPU"),
    ],
)
def test_a_mistake_is_one_line(
    command: Callable, arguments: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    outcome = command(*arguments.split())
    assert outcome.code == 2
    assert message in outcome.err and outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1 and outcome.out == ""


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"no model at all", "not a GGUF file"),
        (lambda content: content[: len(content) // 2], "truncated"),
    ],
)
def test_a_damaged_model_is_one_line(
    command: Callable, tiny_gguf: Path, tmp_path: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damage(tiny_gguf.read_bytes()))
    outcome = command("model=file", f"model.source={path}", "kernels=reference")
    assert outcome.code == 2 and message in outcome.err and outcome.err.count("\n") == 1
    assert not list((tmp_path / "outputs").glob("*/*"))  # no folder for a run that never was


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.max_context=129"], "limit of 128"),
        (["model.source=pypi:a==1/b.gguf"], "quote a value with ="),
        (["workload.max_new_tokens=128"], "the model's is 128"),
        (["cache.blocks=1", "cache.block_size=16"], "the cache holds 16"),
        (["workload.prompts=[]"], "no prompts"),
        (["workload=file", "workload.path=/no/such.txt"], "/no/such.txt"),
        (["grammar=json_schema", 'grammar.source="{\\"not\\": {}}"'], "#/not cannot be enforced"),
    ],
)
def test_what_does_not_fit_is_one_line(
    tiny_run: Callable, tmp_path: Path, arguments: list[str], message: str
) -> None:
    outcome = tiny_run(*arguments)
    assert outcome.code == 2 and message in outcome.err and outcome.err.count("\n") == 1
    assert not list((tmp_path / "outputs").glob("*/*"))


def test_a_setting_is_refused_before_torch_is_imported() -> None:
    script = """
import sys, runtime.run as r
sys.argv = ["run", "+x=1"]
try:
    r.hydra_application(r.run)
finally:
    assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("error: unknown key 'x'")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_each_experiment_runs(tiny_run: Callable, experiment: str) -> None:
    outcome = tiny_run(f"+experiment={experiment}", "workload.prompts=[one,two,three]")
    assert outcome.code == 0, outcome.err
    assert "together" in outcome.out


def test_a_run_leaves_its_config_events_and_figures(tiny_run: Callable) -> None:
    outcome = tiny_run("workload.prompts=[in the end,the]", "decoder=sampling")
    folder = outcome.folders()[0]
    assert OmegaConf.load(folder / "config.yaml").decoder.name == "sampling"
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    kinds = [event["event"] for event in events]
    summary = json.loads((folder / "metrics.json").read_text())["summary"]
    assert kinds[:2] == ["Submitted", "Submitted"] and kinds.count("Finished") == summary["requests"] == 2
    assert kinds.count("TokenAccepted") == summary["new_tokens"]
    assert sum(event["prompt_tokens"] for event in events[:2]) == summary["prompt_tokens"]
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)


def test_compiled_kernels_write_what_the_oracles_write(tiny_run: Callable) -> None:
    settings = ["workload.prompts=[in the end,the]", "workload.max_new_tokens=12"]

    def tokens(backend: str) -> list[tuple[int, int]]:
        outcome = tiny_run(*settings, f"kernels={backend}")
        assert outcome.code == 0, outcome.err
        lines = (outcome.folders()[0] / "events.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        return [(event["request"], event["token"]) for event in events if event["event"] == "TokenAccepted"]

    assert tokens("compiled") == tokens("reference")


def test_a_sweep_runs_each_of_its_points_and_can_be_compared(
    tiny_run: Callable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    outcome = tiny_run("-m", "batching.max_sequences=1,2", "workload.prompts=[one,two]")
    folders = outcome.folders()
    assert [OmegaConf.load(folder / "config.yaml").batching.max_sequences for folder in folders] == [1, 2]
    assert folders[0].parent == folders[1].parent
    monkeypatch.setattr(sys, "argv", ["compare_runs.py", str(folders[0].parent)])
    runpy.run_path(str(CONF.parent / "experiments" / "compare_runs.py"), run_name="__main__")
    assert "batching.max_sequences" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content"),
    [("p.txt", "one\n\ntwo\nthree\n"), ("p.jsonl", '{"prompt": "one"}\n{"prompt": "two"}\n')],
)
def test_prompts_come_from_files(tiny_run: Callable, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    outcome = tiny_run("workload=file", f"workload.path={tmp_path / name}", "workload.limit=2")
    assert "[0] > one" in outcome.out and "[1] > two" in outcome.out and "[2]" not in outcome.out


def test_a_line_without_prompt_is_named(tiny_run: Callable, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "one"}\n{"text": "two"}\n')
    outcome = tiny_run("workload=file", f"workload.path={tmp_path / 'p.jsonl'}")
    assert outcome.code == 2 and "line 2" in outcome.err and "set workload.field" in outcome.err


def test_a_chat_answers_each_line(tiny_run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter(["the end", "in the end"])
    monkeypatch.setattr("builtins.input", lambda *_: next(lines, ""))
    outcome = tiny_run("workload=chat")
    assert outcome.code == 0, outcome.err
    events = [json.loads(line) for line in (outcome.folders()[0] / "events.jsonl").read_text().splitlines()]
    first, second = (event["prompt_tokens"] for event in events if event["event"] == "Submitted")
    assert second > first  # the second turn has the first, and its answer, in its prompt


def test_tracking_offline_leaves_a_run_in_the_folder(tiny_run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    outcome = tiny_run("tracking=wandb", "workload.prompts=[one]")
    assert outcome.code == 0, outcome.err
    assert list((outcome.folders()[0] / "wandb").glob("offline-run-*/*.wandb"))


def test_interruption_keeps_what_was_written(tiny_gguf: Path, tmp_path: Path) -> None:
    settings = ["kernels=reference", "workload.max_new_tokens=100", "batching.max_sequences=1"]
    prompts = f"workload.prompts=[{','.join(['the end'] * 200)}]"
    process = started(tmp_path, "runtime.run", "model=file", f"model.source={tiny_gguf}", *settings, prompts)
    deadline = time.monotonic() + 60
    while not any("TokenAccepted" in path.read_text() for path in tmp_path.glob("outputs/*/*/events.jsonl")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == ""
    (figures,) = tmp_path.glob("outputs/*/*/metrics.json")
    reasons = {request["reason"] for request in json.loads(figures.read_text())["requests"]}
    assert "cancelled" in reasons and reasons <= {"length", "stop", "cancelled"} and "together" in out
