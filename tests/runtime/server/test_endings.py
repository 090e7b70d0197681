"""Clients that go, servers that end, engines that fail."""

import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import APIError, APITimeoutError, InternalServerError
from program import started
from running_server import SMALL, Running, launched, read

from runtime.errors import ConfigError
from runtime.server.http_server import bind

ENDLESS = {"0": -100, "2": -100}  # without the tokens that end a text
LONG: dict[str, Any] = {"model": "llama-1m", "prompt": "x", "max_tokens": 1500, "logit_bias": ENDLESS}
CANCELLED = 'inference_requests_total{reason="cancelled"}'


def test_a_client_that_goes_frees_its_requests(llama: Running) -> None:
    before = llama.figure(CANCELLED)
    stream = llama.client().completions.create(**LONG, n=2, stream=True)
    next(stream)
    stream.close()
    with pytest.raises(APITimeoutError):
        llama.client().completions.create(**LONG, timeout=0.1)
    llama.wait(lambda: llama.figure(CANCELLED) == before + 3)
    llama.wait(lambda: llama.figure('inference_blocks{state="held"}') == 0)
    assert llama.figure("inference_running_requests") == 0


def test_tokens_go_out_at_once(llama: Running) -> None:
    """The system does not hold one back until the one before has been confirmed."""
    with llama.client().completions.create(**LONG, stream=True):
        sockets = [it.transport.get_extra_info("socket") for it in llama.server.server_state.connections]
        assert sockets
        assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets)


def test_a_client_that_reads_slowly_holds_up_nobody(llama: Running) -> None:
    slow = llama.client().completions.create(**(LONG | {"max_tokens": 300}), stream=True)
    next(slow)
    llama.client().completions.create(model="llama-1m", prompt="y", max_tokens=20)
    llama.wait(lambda: llama.figure("inference_running_requests") == 0)
    assert list(slow)[-1].choices[0].finish_reason == "length"


@pytest.mark.parametrize(("seconds", "finishes"), [(30, True), (0, False)])
def test_an_end_leaves_answers_some_time(seconds: int, finishes: bool) -> None:
    with launched("llama-1m", f"serve.shutdown_seconds={seconds}") as server:
        create = server.client().completions.create
        stream = create(**(LONG | {"max_tokens": 200 if finishes else 1500}), stream=True)
        next(stream)
        failures: list[Exception] = []

        def ask() -> None:
            try:
                create(**LONG)
            except APIError as error:
                failures.append(error)

        waiting = threading.Thread(target=ask, daemon=True)
        if not finishes:
            waiting.start()
            server.wait(lambda: server.figure("inference_running_requests") == 2)
        server.server.should_exit = True
        if finishes:
            assert list(stream)[-1].choices[0].finish_reason == "length"
        else:
            with pytest.raises(APIError, match="the server is ending"):
                list(stream)
            waiting.join(60)
            assert isinstance(failures[0], InternalServerError)


def test_an_error_of_the_engine_reaches_clients_and_ends_the_server() -> None:
    class Broken(Exception):
        pass

    def fail(batch: object) -> None:
        raise Broken

    with pytest.raises(Broken), launched("llama-1m") as server:
        stream = server.client().completions.create(**LONG, stream=True)
        next(stream)
        server.service._engine.executor.step = fail  # type: ignore[method-assign,assignment]
        with pytest.raises(APIError, match="the server is ending"):
            list(stream)


class Command:
    """`python -m runtime.serve`."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.process = started(folder, "runtime.serve", *settings)

    def url(self) -> str:
        assert self.process.stdout is not None
        return next(found[0] for line in self.process.stdout if (found := re.search(r"http://\S+/v1", line)))


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    served = Command(tmp_path, "model=llama-1m", "kernels=reference", *SMALL)
    yield served
    served.process.kill()
    served.process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_ends_it_quietly(command: Command, tmp_path: Path, number: int, code: int) -> None:
    body = {"prompt": "x", "max_tokens": 30, "stream": True, "logit_bias": ENDLESS}
    with httpx.stream("POST", command.url() + "/completions", json=body, timeout=60) as response:
        lines = response.iter_lines()
        assert json.loads(next(lines).removeprefix("data: "))["choices"]
        command.process.send_signal(number)
        assert "data: [DONE]" in list(lines)
    _, err = command.process.communicate(timeout=60)
    assert (command.process.returncode, err) == (code, "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("serve.prt=1", "did you mean 'serve.port'"),
        ("workload.max_new_tokens=3", "did you mean 'serve.max_new_tokens'"),
        ("serve.port=70000", "serve.port must be between 0 and 65535"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, setting: str, message: str) -> None:
    served = Command(tmp_path, setting)
    out, err = served.process.communicate(timeout=60)
    assert (served.process.returncode, out) == (2, "") and message in err and err.count("\n") == 1


def test_an_address_that_is_taken_or_not_ours_is_named() -> None:
    with bind(read("serve.port=0").serve) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"serve\.host=127\.0\.0\.1 serve\.port={port}: Address already in use"):
            bind(read(f"serve.port={port}").serve)
    with pytest.raises(ConfigError, match=r"serve\.host=203\.0\.113\.1 serve\.port=8000: "):
        bind(read("serve.host=203.0.113.1").serve)
