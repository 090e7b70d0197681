"""Figures of an evaluation beside those that plain logits give; faults of a file; interruption."""

import json
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from plain_rwkv7 import plain_rwkv7
from program import started
from tiny_model import TinyModel, dense_tensors, plain_logits
from tiny_rwkv7 import tiny_rwkv7, write_gguf

from model.loader import load_model
from model.token_encoder import TokenEncoder
from runtime.evaluation.last_word import LastWordTask
from runtime.evaluation.row import Row
from runtime.evaluation.span import Score

TEXT = "In the end, the inn by the sea was the thing.\nThe other inn is in the north. " * 3
PASSAGES = ["the inn in the", "in the  end the thin", "then\nthe inn"]
QUESTIONS: list[dict[str, Any]] = [
    {"question": "Where is the inn?", "choices": ["in the end", "north", "in there, in the sea"], "answer": 1},
    {"context": "the ", "choices": ["inn", "thing"], "answer": 0},
]


class Tiny(NamedTuple):
    """A model on disk, and its logits [T, V] for one sequence in plain float64."""

    path: Path
    encoder: TokenEncoder
    logits: Callable[[list[int]], torch.Tensor]

    def log_probs(self, tokens: list[int], count: int) -> tuple[list[float], list[bool]]:
        """Of the last tokens of a sequence, and whether each is the best."""
        logits, targets = self.logits(tokens)[-count - 1 : -1], torch.tensor(tokens[-count:])
        values = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
        return values.tolist(), (logits.argmax(-1) == targets).tolist()

    def joined(self, context: str, continuation: str) -> tuple[list[int], int]:
        """The tokens of both, together unless one reaches over the border, and how many are the second's."""
        before, whole = self.encoder.encode(context, bos=True), self.encoder.encode(context + continuation, bos=True)
        if whole[: len(before)] != before:
            whole = before + self.encoder.encode(continuation)
        return whole, len(whole) - len(before)


only_llama = pytest.mark.parametrize("tiny", ["llama"], indirect=True)


@pytest.fixture(scope="module", params=["llama", "rwkv7"])
def tiny(request: pytest.FixtureRequest, tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    if request.param == "llama":
        weights = dense_tensors(tiny_gguf)
        return Tiny(tiny_gguf, load_model(tiny_gguf).encoder, lambda tokens: plain_logits(weights, TinyModel(), tokens))
    tensors = tiny_rwkv7()
    pieces = [b"<s>", *(bytes([byte]) for byte in range(256)), b"the", b" the", b" in", b" inn", b"the e", b"n "]
    path = write_gguf(tmp_path_factory.mktemp("models") / "tiny-rwkv7.gguf", tensors, pieces=pieces)
    return Tiny(path, load_model(path).encoder, lambda tokens: plain_rwkv7(tensors, tokens)[0])


@pytest.fixture
def evaluate(command: Callable, tiny: Tiny, tmp_path: Path) -> Callable:
    """Evaluates a tiny model in f32 on a file of this content."""

    def call(name: str, content: str | list[dict], *arguments: str) -> Any:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else "".join(f"{json.dumps(row)}\n" for row in content))
        model = ["model=file", f"model.source={tiny.path}", "model.dtype=f32", "cache.dtype=f32", "kernels=reference"]
        return command("workload=eval", f"workload.path={path}", *model, *arguments)

    return call


def results(outcome: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Summary and items of a run."""
    assert outcome.code == 0, outcome.err
    (folder,) = outcome.folders()
    lines = (folder / "results.jsonl").read_text().splitlines()
    return json.loads((folder / "metrics.json").read_text())["summary"], [json.loads(line) for line in lines]


@pytest.mark.parametrize("budget", [7, 64, 512])
def test_a_text(evaluate: Callable, tiny: Tiny, budget: int) -> None:
    settings = ["workload.window=20", "workload.stride=8", f"batching.token_budget={budget}"]
    summary, items = results(evaluate("t.txt", TEXT, *settings, "batching.max_sequences=3"))
    tokens = tiny.encoder.encode(TEXT, bos=True)
    expected = tiny.log_probs(tokens[:21], 20)[0]
    for end in range(20, len(tokens) - 1, 8):
        stop = min(end + 8, len(tokens) - 1)
        expected += tiny.log_probs(tokens[stop - 20 : stop + 1], stop - end)[0]
    assert len(expected) == summary["scored_tokens"] == len(tokens) - 1 == sum(item["tokens"] for item in items)
    assert summary["scored_bytes"] == len(TEXT) - len(tiny.encoder.token_bytes(tokens[0]))
    assert summary["perplexity"] == pytest.approx(math.exp(-sum(expected) / len(expected)), rel=1e-4)
    bits = -sum(expected) / math.log(2) / summary["scored_bytes"]
    assert summary["bits_per_byte"] == pytest.approx(bits, rel=1e-5)
    assert summary["byte_perplexity"] == pytest.approx(2**bits, rel=1e-4)
    assert summary["fed_tokens"] == 20 * len(items) and summary["tokens_per_second"] > 0


@pytest.mark.parametrize("settings", [["batching.token_budget=5", "batching.max_sequences=2"], []])
def test_last_words(evaluate: Callable, tiny: Tiny, settings: list[str]) -> None:
    rows = [{"text": text} for text in PASSAGES]
    summary, items = results(evaluate("w.jsonl", rows, *settings))
    sums, right = [], []
    for text, item in zip(PASSAGES, items, strict=True):
        context, space, word = text.rpartition(" ")
        tokens, count = tiny.joined(context, space + word)
        values, best = tiny.log_probs(tokens, count)
        sums.append(sum(values))
        right.append(all(best))
        assert item["right"] == right[-1] and item["tokens"] == count and item["word"] == text.split()[-1]
        assert item["log_prob"] == pytest.approx(sums[-1], rel=1e-4)
    assert [item["line"] for item in items] == [1, 2, 3]
    assert summary["accuracy"] == sum(right) / 3
    assert summary["perplexity"] == pytest.approx(math.exp(-sum(sums) / 3), rel=1e-3)
    assert summary["kind"] == "last_word" and summary["items"] == 3 and summary["unfinished_items"] == 0


def test_a_word_is_right_where_each_token_is_the_best(tiny_gguf: Path) -> None:
    rows = [Row("", 1, {"text": "in the end"})] * 2
    task = LastWordTask(rows, load_model(tiny_gguf).encoder, 50)
    assert math.isnan(task.figures()["accuracy"])
    assert task.judge(0, [Score([-1.0, -2.0], [True, True])])["right"]
    assert not task.judge(1, [Score([-0.5, -0.5], [True, False])])["right"]
    error = math.exp(2) * 1.0  # the mean of -3 and -1 is off by 1
    expected = {"accuracy": 0.5, "accuracy_error": 0.5, "perplexity": math.exp(2), "perplexity_error": error}
    assert task.figures() == pytest.approx(expected)


@pytest.mark.parametrize("settings", [["batching.token_budget=5", "batching.max_sequences=2"], []])
def test_multiple_choice(evaluate: Callable, tiny: Tiny, settings: list[str]) -> None:
    summary, items = results(evaluate("c.jsonl", QUESTIONS, *settings))
    right, right_per_byte = 0, 0
    for row, item in zip(QUESTIONS, items, strict=True):
        question, separator = (row["question"], " ") if "question" in row else (row["context"], "")
        joined = [tiny.joined(question, separator + choice) for choice in row["choices"]]
        sums = [sum(tiny.log_probs(*tokens_and_count)[0]) for tokens_and_count in joined]
        per_byte = [value / len(choice) for value, choice in zip(sums, row["choices"], strict=True)]
        assert item["log_probs"] == pytest.approx(sums, rel=1e-4)
        assert item["chosen"] == sums.index(max(sums)) and item["chosen_per_byte"] == per_byte.index(max(per_byte))
        right += item["chosen"] == row["answer"]
        right_per_byte += item["chosen_per_byte"] == row["answer"]
    assert summary["accuracy"] == right / 2 and summary["accuracy_per_byte"] == right_per_byte / 2
    assert summary["chance"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert summary["accuracy_error"] == (0.5 if right == 1 else 0)


def test_compiled_kernels_give_the_same_figures(evaluate: Callable) -> None:
    settings = ["workload.window=30", "batching.token_budget=50"]
    expected, _ = results(evaluate("t.txt", TEXT, *settings))
    actual, _ = results(evaluate("t.txt", TEXT, *settings, "kernels=compiled"))
    assert actual["bits_per_byte"] == pytest.approx(expected["bits_per_byte"], rel=1e-5)


def test_a_long_context_loses_its_beginning(evaluate: Callable, tiny: Tiny) -> None:
    summary, items = results(evaluate("w.jsonl", [{"text": TEXT}], "workload.window=12"))
    context, _, word = TEXT.rstrip().rpartition(" ")
    tokens = tiny.joined(context, f" {word}")[0][-13:]
    assert items[0]["log_prob"] == pytest.approx(sum(tiny.log_probs(tokens, items[0]["tokens"])[0]), rel=1e-4)
    assert summary["truncated_items"] == 1


@only_llama
def test_only_the_first_items(evaluate: Callable) -> None:
    assert results(evaluate("c.jsonl", QUESTIONS, "workload.limit=1"))[0]["items"] == 1
    assert results(evaluate("t.txt", TEXT, "workload.limit=1", "workload.window=10"))[0]["scored_tokens"] == 10


@only_llama
def test_a_window_is_as_long_as_model_and_cache_allow(evaluate: Callable) -> None:
    assert results(evaluate("t.txt", TEXT))[0]["window"] == 128
    assert results(evaluate("t.txt", TEXT, "cache.blocks=2"))[0]["window"] == 64


GOOD = json.dumps(QUESTIONS[0])


@only_llama
@pytest.mark.parametrize(
    ("name", "content", "arguments", "message"),
    [
        ("e.jsonl", "", [], "there is nothing in it"),
        ("e.txt", "", [], "needs two tokens, this one has 0"),
        ("e.jsonl", "{no", [], "e.jsonl, line 1: no JSON"),
        ("e.jsonl", "[1]", [], "e.jsonl, line 1: it is no object"),
        ("e.jsonl", '{"prompt": "a"}', [], "line 1: neither 'choices' nor 'text' (prompt): set workload.kind"),
        ("e.jsonl", '{"text": "a b"}\n\n{"text": 3}', [], "e.jsonl, line 3: no text under 'text' (text)"),
        ("e.jsonl", '{"text": "word"}', [], "line 1: one word has no context"),
        ("e.jsonl", f'{GOOD}\n{{"question": "a", "choices": ["b"]}}', [], "line 2: 'choices' must be a list of two"),
        ("e.jsonl", GOOD.replace("north", ""), [], "line 1: 'choices' must be a list of two texts or more"),
        ("e.jsonl", GOOD.replace('"answer": 1', '"answer": 3'), [], "line 1: 'answer' must be the number of a choice"),
        ("e.jsonl", GOOD.replace('"answer": 1', '"answer": "B"'), [], "0 to 2, not 'B'"),
        ("e.jsonl", GOOD.replace('"question"', '"ask"'), [], "either 'question' or 'context' (ask, choices, answer)"),
        ("e.jsonl", GOOD, ["workload.window=2"], "line 1: 7 tokens to score: must be 1 to 2"),
        ("e.txt", TEXT, ["workload.window=8", "workload.stride=9"], "workload.stride=9 skips tokens"),
        ("e.txt", TEXT, ["workload.limit=0"], "workload.limit must be 1 or more"),
        ("e.txt", TEXT, ["workload.path=/no/such.txt"], "/no/such.txt: No such file"),
    ],
)
def test_a_fault_is_one_line(
    evaluate: Callable, tmp_path: Path, name: str, content: str, arguments: list[str], message: str
) -> None:
    outcome = evaluate(name, content, *arguments)
    assert outcome.code == 2
    assert message in outcome.err and outcome.err.startswith("error: ") and outcome.err.count("\n") == 1
    assert not list((tmp_path / "outputs").glob("*/*/*"))


def test_the_experiment_needs_no_file_of_the_users(tiny_gguf: Path, command: Callable) -> None:
    model = ["model=file", f"model.source={tiny_gguf}", "kernels=reference", "workload.window=100", "workload.limit=2"]
    summary, _ = results(command("+experiment=eval", *model))
    assert summary["scored_tokens"] == 150


@only_llama
def test_the_tracker_has_the_figures(evaluate: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    outcome = evaluate("t.txt", TEXT, "tracking=wandb", "workload.window=20")
    assert outcome.code == 0, outcome.err
    (record,) = (outcome.folders()[0] / "wandb").glob("offline-run-*/*.wandb")
    deadline = time.monotonic() + 60
    while b"bits_per_byte" not in record.read_bytes():  # W&B's own process writes it
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_interruption_reports_what_is_done(tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "w.jsonl").write_text('{"text": "the inn in the north"}\n' * 20000)
    model = ["model=file", f"model.source={tiny_gguf}", "kernels=reference", "batching.token_budget=16"]
    process = started(tmp_path, "runtime.run", "workload=eval", "workload.path=w.jsonl", *model)
    deadline = time.monotonic() + 120
    while not any(path.read_text() for path in tmp_path.glob("outputs/*/*/results.jsonl")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == "" and "accuracy" in out
    (folder,) = tmp_path.glob("outputs/*/*")
    summary = json.loads((folder / "metrics.json").read_text())["summary"]
    assert summary["items"] == len((folder / "results.jsonl").read_text().splitlines())
    assert 0 < summary["items"] < 20000 and summary["items"] + summary["unfinished_items"] == 20000
