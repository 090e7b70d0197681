"""What HTTP costs: prompts answered by a server, and the same ones by an engine without a server around it.

    python experiments/serve_throughput.py                       # the default model; settings as for runtime.serve
    python experiments/serve_throughput.py model=llama-4m        # a small one, of which each token is quick

So many clients at a time, each of which asks anew when it has its answer. The server is a process of its own and
streams; its clients are one process on the same processor, and take some of its time.
"""

import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from random import Random
from typing import NamedTuple
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import track
from rich.table import Table

from runtime.assembly import assemble
from runtime.command_line import compose_settings
from runtime.config import ServeConfig
from runtime.engine import Engine
from runtime.events import Finished, TokenAccepted
from runtime.request import Request

CLIENTS = (1, 4, 16)
PROMPT_TOKENS, NEW_TOKENS, EACH, ROUNDS = 64, 64, 2, 5  # requests of each client, in each round
TEXT = Path(__file__).parent / "data" / "henry_vi_part_2.txt"


class Figures(NamedTuple):
    """tokens: of all answers; first: seconds to the first of each answer."""

    tokens: int
    seconds: float
    first: list[float]

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


def ask_engine(engine: Engine, prompts: list[list[int]], clients: int, stops: frozenset[int]) -> Figures:
    """The prompts answered by an engine, so many at a time."""
    waiting, asked, first, tokens = iter(prompts), dict[int, float](), dict[int, float](), 0

    def ask() -> None:
        if (prompt := next(waiting, None)) is not None:
            asked[engine.submit(Request(tuple(prompt), NEW_TOKENS, stop_tokens=stops))] = time.perf_counter()

    start = time.perf_counter()
    for _ in range(clients):
        ask()
    while not engine.is_idle:
        for event in engine.step():
            if isinstance(event, TokenAccepted):
                tokens += 1
                first.setdefault(event.request, time.perf_counter() - asked[event.request])
            elif isinstance(event, Finished):
                ask()
    return Figures(tokens, time.perf_counter() - start, list(first.values()))


async def ask_server(url: str, prompts: list[list[int]], clients: int) -> Figures:
    """The prompts answered by a server, so many at a time. Plain sockets: a client library takes more of the processor
    for a token than the server does."""
    where = urlsplit(url)
    assert where.hostname
    waiting, first, tokens = iter(prompts), list[float](), 0

    async def client() -> None:
        nonlocal tokens
        for prompt in waiting:
            body = {"prompt": prompt, "max_tokens": NEW_TOKENS, "temperature": 0, "stream": True}
            content = json.dumps(body | {"stream_options": {"include_usage": True}}).encode()
            head = f"POST {where.path}/completions HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
            asked = time.perf_counter()
            reader, writer = await asyncio.open_connection(where.hostname, where.port)
            writer.write(head.encode() + content)
            await reader.readuntil(b"data: ")
            first.append(time.perf_counter() - asked)
            answer = await reader.read(-1)
            tokens += int(re.findall(rb'"completion_tokens":(\d+)', answer)[-1])
            writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return Figures(tokens, time.perf_counter() - start, first)


@contextmanager
def server(settings: list[str]) -> Iterator[str]:
    """A server on a free port; its URL."""
    command = [sys.executable, "-m", "runtime.serve", *settings, "serve.port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        found = (re.search(r"http://\S+/v1", line) for line in process.stdout)
        url = next((match[0] for match in found if match), None)
        try:
            if url is None:
                sys.exit("the server has not started")
            yield url
        finally:
            process.terminate()


def main() -> None:
    settings = ["cache.prefix=none", *sys.argv[1:]]  # or a later round would find the prompts of the first
    assembly = assemble(compose_settings(settings, "serve", ServeConfig))
    encoder = assembly.loaded.encoder
    text = encoder.encode(TEXT.read_text())
    starts = Random(0).sample(range(len(text) - PROMPT_TOKENS), max(CLIENTS) * EACH)
    prompts = [text[start : start + PROMPT_TOKENS] for start in starts]
    table = Table(title=f"{PROMPT_TOKENS} tokens in, {NEW_TOKENS} out", title_justify="left")
    for column in ("clients", "tokens/s: engine", "server", "difference", "ms to the first: engine", "server"):
        table.add_column(column, justify="right")
    with server(settings) as url:
        for clients in track(CLIENTS, transient=True):
            part, rounds = prompts[: clients * EACH], []
            for turn in range(1 + ROUNDS):
                alone = ask_engine(assembly.engine(), part, clients, encoder.eos_ids)
                served = asyncio.run(ask_server(url, part, clients))
                rounds += [(alone, served)] if turn else []  # the first warms up
            columns = list(zip(*rounds, strict=True))
            rates = [statistics.median(figures.rate for figures in column) for column in columns]
            first = [statistics.median(chain.from_iterable(figures.first for figures in column)) for column in columns]
            difference = statistics.median(served.rate / alone.rate - 1 for alone, served in rounds)
            words = [*(f"{rate:.0f}" for rate in rates), f"{difference:+.0%}", *(f"{s * 1e3:.0f}" for s in first)]
            table.add_row(str(clients), *words)
    Console().print(table)


if __name__ == "__main__":
    main()
