"""Servers that several tests talk to."""

from collections.abc import Iterator

import pytest
from running_server import Running, launched


@pytest.fixture(scope="package", params=["llama-1m", "rwkv7-1m"])
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    with launched(request.param) as running:
        yield running


@pytest.fixture(scope="package")
def llama() -> Iterator[Running]:
    with launched("llama-1m", "serve.max_choices=4") as running:
        yield running
