"""Fixtures of the model floor's tests."""

from collections.abc import Callable

import pytest
import torch
from tiny_model import VARIANTS, TinyFile, dense_tensors, write_tiny_gguf

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TinyFile]:
    """A function that gives the tiny model of a variant's name, written once."""
    folder = tmp_path_factory.mktemp("models")
    written: dict[str, TinyFile] = {}

    def get(variant: str) -> TinyFile:
        if variant not in written:
            path = write_tiny_gguf(folder / f"{len(written)}.gguf", VARIANTS[variant])
            written[variant] = TinyFile(path, VARIANTS[variant], dense_tensors(path))
        return written[variant]

    return get


@pytest.fixture(params=VARIANTS)
def any_tiny_file(request: pytest.FixtureRequest, tiny_file: Callable[[str], TinyFile]) -> TinyFile:
    """Each variant in turn."""
    return tiny_file(request.param)
