"""EleutherAI's harness on a tiny model, with tasks over local files."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval", reason="the harness is not installed: pip install -e '.[eval]'")

from lm_eval.api.instance import Instance

from runtime.lm_eval_adapter import HarnessModel

CHOICE = {"question": "Where is the inn?", "choices": [" in the end", " north"], "answer": 1}
TASKS = {
    "choice": """
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: answer
target_delimiter: ""
metric_list:
  - metric: acc
  - metric: acc_norm
""",
    "answer": """
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[answer]}}"
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 6
metric_list:
  - metric: exact_match
""",
    "prose": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}}"
metric_list:
  - metric: byte_perplexity
  - metric: bits_per_byte
""",
}


@pytest.fixture
def settings(tiny_gguf: Path) -> list[str]:
    f32 = ["model.dtype=f32", "cache.dtype=f32", "batching.token_budget=20"]
    return ["model=file", f"model.source={tiny_gguf}", "kernels=reference", *f32]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A folder of tasks over one local file."""
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(CHOICE)}\n" * 3)
    for name, text in TASKS.items():
        data = f"dataset_path: json\ndataset_kwargs:\n  data_files: {tmp_path / 'rows.jsonl'}\ntest_split: train\n"
        (tmp_path / f"{name}.yaml").write_text(f"task: {name}\n{data}{text}")
    return tmp_path


def asked(kind: Any, *arguments: Any) -> list[Instance]:
    return [Instance(kind, {}, arguments, 0)]


def test_the_command_scores_and_generates(settings: list[str], tasks: Path) -> None:
    command = ["run", "--model", "agentic", "--model_args", *settings, "--tasks", *TASKS, "--include_path", str(tasks)]
    done = subprocess.run(
        [sys.executable, "-m", "runtime.lm_eval_adapter", *command, "--output_path", str(tasks / "out")],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tasks / "hf"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    (path,) = (tasks / "out").rglob("results_*.json")
    results = json.loads(path.read_text())["results"]
    model = HarnessModel.compose(settings)
    scores = [model.loglikelihood(asked("loglikelihood", CHOICE["question"], text))[0][0] for text in CHOICE["choices"]]
    assert results["choice"]["acc,none"] == (scores[1] > scores[0])
    (rolling,) = model.loglikelihood_rolling(asked("loglikelihood_rolling", CHOICE["question"]))
    bits = -rolling / math.log(2) / len(CHOICE["question"])
    assert results["prose"]["bits_per_byte,none"] == pytest.approx(bits, rel=1e-4)
    assert results["answer"]["exact_match,none"] == 0


def test_parts_add_up(settings: list[str]) -> None:
    """Of a text, read as a whole or in two parts, and of a continuation after white space."""
    model = HarnessModel.compose(settings)
    ((whole, _),) = model.loglikelihood(asked("loglikelihood", "", "the inn in the"))
    assert model.loglikelihood_rolling(asked("loglikelihood_rolling", "the inn in the")) == [pytest.approx(whole)]
    ((first, _),) = model.loglikelihood(asked("loglikelihood", "", "the inn"))
    ((second, _),) = model.loglikelihood(asked("loglikelihood", "the inn", " in the"))
    assert model.loglikelihood(asked("loglikelihood", "the inn ", "in the")) == [(pytest.approx(second), False)]
    assert model.loglikelihood_rolling(asked("loglikelihood_rolling", "the inn")) == [pytest.approx(first)]
    assert model.loglikelihood_rolling(asked("loglikelihood_rolling", "")) == [0.0]


def test_a_greedy_continuation_is_greedy(settings: list[str]) -> None:
    model = HarnessModel.compose(settings)
    limits = {"until": [], "max_gen_toks": 4}
    (text,) = model.generate_until(asked("generate_until", "the inn", limits))
    (cut,) = model.generate_until(asked("generate_until", "the inn", limits | {"until": text[1:2]}))
    assert cut == text[:1]
    for sampled in ({"do_sample": True}, {"temperature": 0.7}):
        with pytest.raises(ValueError, match="generation is greedy"):
            model.generate_until(asked("generate_until", "the inn", limits | sampled))


def test_long_texts_are_read_in_windows(settings: list[str]) -> None:
    model = HarnessModel.compose(settings)
    text = "the inn in the north. " * 40
    requests = asked("loglikelihood", text, "the") + asked("loglikelihood", text[-100:], "the")
    assert len(model.loglikelihood(requests)) == 2
    assert model.loglikelihood_rolling(asked("loglikelihood_rolling", text))[0] < 0
    assert model.generate_until(asked("generate_until", text, {"until": ["x"], "max_gen_toks": 3}))


def test_arguments_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(HarnessModel, "compose", given.append)
    HarnessModel.create_from_arg_string("model=file,model.source=pypi:a==1/b.gguf,cache.blocks=64", {"device": "cpu"})
    assert given == [["model=file", "model.source='pypi:a==1/b.gguf'", "cache.blocks=64"]]
