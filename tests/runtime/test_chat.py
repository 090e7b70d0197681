"""A conversation on the terminal: scripted through a pipe, and as a person would have it, in a pseudo-terminal."""

import contextlib
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tiny_model import TinyModel, write_tiny_gguf
from tiny_rwkv7 import tiny_rwkv7, write_gguf

from runtime.assembly import Assembly, assemble
from runtime.chat.conversation import Conversation
from runtime.command_line import compose_settings
from runtime.config import ChatWorkload
from runtime.events import TokenAccepted
from runtime.request import Request

SETTINGS = ["workload=chat", "kernels=reference", "model.dtype=f32", "cache.dtype=f32"]
SHORT = "{% for message in messages %}{{ '[' + message['content'] + ']' }}{% endfor %}["


@pytest.fixture(scope="module", params=["llama", "rwkv7"])
def model(request: pytest.FixtureRequest, tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of each family, whose answers cannot be foreseen; the recurrent one's are ASCII."""
    if request.param == "llama":
        return tiny_gguf
    tensors = tiny_rwkv7(vocabulary=257)
    tensors["head.weight"][129:] = 0
    pieces = [b"", *(bytes([byte]) for byte in range(256))]
    path = tmp_path_factory.mktemp("models") / "tiny-rwkv7.gguf"
    return write_gguf(path, tensors, pieces=pieces, template=SHORT)


@pytest.fixture
def chat(model: Path, command: Callable, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, list[dict]]]:
    """Runs a conversation of these lines; its output up to the report, and its events."""

    def run(*lines: str) -> tuple[str, list[dict]]:
        rest = iter(lines)
        monkeypatch.setattr("builtins.input", lambda *_: next(rest, ""))
        # Without an index of prefixes, what is fed tells what the conversation itself keeps.
        settings = ["model.max_context=128", "workload.max_new_tokens=5", "cache.prefix=none"]
        outcome = command("model=file", f"model.source={model}", *SETTINGS, *settings)
        assert outcome.code == 0, outcome.err
        events = (outcome.folders()[-1] / "events.jsonl").read_text().splitlines()
        return outcome.out.partition("\nrequests")[0], [json.loads(line) for line in events]

    return run


def of(kind: str, events: list[dict], key: str) -> list:
    return [event[key] for event in events if event["event"] == kind]


def test_a_turn_is_fed_what_is_new_and_a_taken_back_one_is_answered_alike(chat: Callable) -> None:
    out, events = chat("the end", "in", "/undo", "in")
    assert "taken back: in" in out
    texts, prompts = of("Finished", events, "text"), of("Submitted", events, "prompt_tokens")
    assert texts[1] == texts[2] and prompts[0] < prompts[1] == prompts[2]
    fed = of("Prefilled", events, "tokens")
    assert fed[0] == prompts[0] and fed[1] == fed[2] <= prompts[1] - prompts[0]  # none of the first question's


def test_a_saved_conversation_goes_on_in_a_later_run(chat: Callable, tmp_path: Path) -> None:
    file = tmp_path / "a conversation"
    _, events = chat("the end", f"/save {file}", "in")
    assert file.exists()
    out, later = chat(f"/load {file}", "in")
    assert "loaded: 2 messages" in out
    assert of("Finished", later, "text") == of("Finished", events, "text")[1:]
    assert of("Prefilled", later, "tokens") == of("Prefilled", events, "tokens")[1:]


def test_what_is_wrong_is_one_line_and_the_conversation_goes_on(chat: Callable, tmp_path: Path) -> None:
    wrong = {
        "/undo": "there is no turn to take back",
        "/save x": "there is nothing to save yet",
        "/save": "/save needs the name of a file",
        "/load   ": "/load needs the name of a file",
        "/load missing": "missing cannot be read as Safetensors",
        "/load .": "cannot be read as Safetensors",
        "/load " + "x" * 300: "cannot be read as Safetensors",
        "/reset now": "/reset takes nothing after it",
        "/helo": "there is no command /helo: /help lists them",
        "x" * 130: "its context is full at 128",
    }
    out, events = chat(*wrong, "/help", "/etc/hosts", " /undo", "/save " + "x" * 300, "/save /", "/reset", "/undo")
    errors = re.findall("error: (.*)$", out, re.MULTILINE)
    expected = [*wrong.values(), "cannot be written", "exists and is no saved conversation", "no turn to take back"]
    assert [message in error for message, error in zip(expected, errors, strict=True)] == [True] * len(expected)
    assert "/save FILE" in out and len(of("Submitted", events, "request")) == 2  # which are messages


def begin(model: Path) -> tuple[Assembly, Conversation]:
    settings = ["model=file", f"model.source={model}", "model.max_context=128", "workload.max_new_tokens=9", *SETTINGS]
    config = compose_settings(settings)
    assert isinstance(config.workload, ChatWorkload)
    assembly = assemble(config)
    return assembly, Conversation(assembly, assembly.engine(), config.workload)


def test_each_answer_is_that_of_a_fresh_engine_to_the_whole_conversation(model: Path) -> None:
    conversation = begin(model)[1]
    for question in ("the end", "in", "the"):
        events = list(conversation.ask(question, lambda: False))
        answer = [event.token for event in events if isinstance(event, TokenAccepted)]
        prompt = conversation._turns[-1].tokens[: -len(answer)]
        (fresh,) = begin(model)[0].engine().generate([Request(prompt, len(answer))])
        assert fresh.tokens == answer


def test_a_saved_conversation_goes_on_bit_for_bit(model: Path, tmp_path: Path) -> None:
    (_, one), (_, other) = begin(model), begin(model)
    list(one.ask("the end", lambda: False))
    list(other.ask("something else", lambda: False))  # so that blocks and slots are others
    one.save(tmp_path / "before")
    other.load(tmp_path / "before")
    for conversation, name in ((one, "one"), (other, "other")):
        list(conversation.ask("in", lambda: False))
        conversation.save(tmp_path / name)
    saved, continued = load_file(tmp_path / "one"), load_file(tmp_path / "other")
    assert saved.keys() == continued.keys() and all(saved[name].equal(continued[name]) for name in saved)


def test_a_model_without_a_template_is_refused_before_anything_is_asked(
    tiny_run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.assembly.load_model", without_template)
    outcome = tiny_run("workload=chat")
    assert outcome.code == 2 and "no chat template" in outcome.err and outcome.err.count("\n") == 1


def without_template(*arguments, **settings):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    from model.loader import load_model

    return replace(load_model(*arguments, **settings), chat_template=None)


def test_a_piped_conversation_ends_with_its_input(tiny_gguf: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "runtime.run", "model=file", f"model.source={tiny_gguf}", *SETTINGS]
    done = subprocess.run(
        [*command, "workload.max_new_tokens=3"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
        input=b"the end\n\xff\xfe and \xc3\xa4\n/save s\n",
        capture_output=True,
        timeout=180,
    )
    assert done.returncode == 0 and done.stderr == b"", done.stderr.decode()
    assert b"saved to s" in done.stdout and b"written to" in done.stdout and (tmp_path / "s").exists()


class Terminal:
    """A process in a pseudo-terminal."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(command[0], command, os.environ | {"OMP_NUM_THREADS": "1", "TERM": "dumb"})
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def press_until(self, key: str, pattern: str) -> None:
        """Presses a key, and again if nothing happens: one that comes just as a prompt is being shown can be lost."""
        for _ in range(3):
            self.type(key)
            with contextlib.suppress(AssertionError):
                self.wait_for(pattern, seconds=30)
                return
        raise AssertionError(f"no {pattern!r} in {self.seen!r}")

    def wait_for(self, pattern: str, seconds: float = 180) -> re.Match[str]:
        """Reads until the pattern appears in what has not been waited for yet."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen, re.DOTALL)):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.seen!r}"
            if select.select([self._fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self._fd, 4096).decode(errors="replace")
                except OSError as error:  # the process has closed its side
                    raise AssertionError(f"no {pattern!r} in {self.seen!r}") from error
        self.seen = self.seen[found.end() :]
        return found

    def exit_code(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    model = write_tiny_gguf(tmp_path / "slow.gguf", TinyModel(layers=16))
    command = [sys.executable, "-m", "runtime.run", "model=file", f"model.source={model}", *SETTINGS]
    terminal = Terminal([*command, "workload.max_new_tokens=60"], tmp_path)
    yield terminal
    os.close(terminal._fd)


def test_ctrl_c_stops_an_answer_and_at_the_prompt_the_chat(terminal: Terminal, tmp_path: Path) -> None:
    terminal.wait_for("/help lists commands.*> ")
    terminal.type("the end\r")
    terminal.wait_for("the end\r\n.")  # the echo, and the answer's first character
    terminal.type("\x03")
    terminal.wait_for(r"\(stopped\)\r\n> ")
    terminal.type("/save kept\r")
    terminal.wait_for("saved to kept\r\n> ")
    terminal.type("/undo\r")
    terminal.wait_for("taken back: the end\r\n> ")
    terminal.press_until("\x03", "together.*written to .*\r\n")
    assert terminal.exit_code() == 130
    (figures,) = tmp_path.glob("outputs/*/*/metrics.json")
    assert [request["reason"] for request in json.loads(figures.read_text())["requests"]] == ["cancelled"]


def test_ctrl_d_ends_the_chat(terminal: Terminal) -> None:
    terminal.wait_for("> ")
    terminal.type("\x04")
    terminal.wait_for("written to .*\r\n")
    assert terminal.exit_code() == 0
