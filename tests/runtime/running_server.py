"""A real server on a free port, in a thread of this process, for OpenAI's client."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from openai import OpenAI
from rich.console import Console

from runtime.assembly import Assembly, assemble
from runtime.async_stream import EngineStopped
from runtime.command_line import compose_settings
from runtime.config import ServeConfig
from runtime.server.http_server import HttpServer, bind
from runtime.server.service import Service

SMALL = ["model.dtype=f32", "cache.dtype=f32", "kernels.threads=1", "serve.port=0"]


def read(*overrides: str) -> ServeConfig:
    return compose_settings(overrides, "serve", ServeConfig)


@dataclass
class Running:
    """A server, and what the test can look at from inside. said: on its console."""

    url: str
    assembly: Assembly
    service: Service
    server: HttpServer
    said: io.StringIO

    def client(self, api_key: str = "any") -> OpenAI:
        return OpenAI(base_url=self.url, api_key=api_key, max_retries=0, timeout=60)

    def post(self, path: str, content: bytes, **headers: str) -> httpx.Response:
        headers = {"content-type": "application/json"} | headers
        return httpx.post(f"{self.url}{path}", content=content, headers=headers, timeout=60)

    def figure(self, name: str) -> float:
        """One of the lines of /metrics; 0 where there is none yet."""
        lines = httpx.get(self.url.removesuffix("/v1") + "/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name)

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)


@contextmanager
def launched(model: str, *settings: str) -> Iterator[Running]:
    config = read(f"model={model}", *SMALL, *settings)
    listener = bind(config.serve)
    assembly = assemble(config)
    service = Service(assembly, config.serve)
    said = io.StringIO()
    server = HttpServer(service, config.serve, Console(file=said))
    thread = threading.Thread(target=server.run, args=([listener],))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    thread.start()
    running = Running(url, assembly, service, server, said)
    try:
        running.wait(lambda: server.started or not thread.is_alive())
        yield running
    finally:
        server.should_exit = True
        thread.join(60)
    assert not thread.is_alive()
    if not isinstance(reason := service.engine.stopped.result(), EngineStopped):
        raise reason
    ledger = service._engine.ledger()
    assert ledger.held == 0, ledger
