"""Fixtures of the runtime floor's tests: a tiny model on disk, and the command line called in this
process."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from runtime.command_line import hydra_application
from runtime.run import run

torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background; the programs under test would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    def folders(self) -> list[Path]:
        """The folders that the runs say they have written, in order."""
        lines = [line for line in self.out.splitlines() if line.startswith("written to ")]
        return [Path(line.removeprefix("written to ")) for line in lines]


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_model import TinyModel, write_tiny_gguf

    return write_tiny_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf", TinyModel())


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Calls what `python -m runtime.run` calls, in an empty folder."""

    def call(*arguments: str) -> Outcome:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["run", *arguments])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # restored afterwards
        code = 0
        try:
            hydra_application(run)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def tiny_run(command: Callable[..., Outcome], tiny_gguf: Path) -> Callable[..., Outcome]:
    """A run of the tiny model on the oracles, in f32, with short answers."""

    def call(*arguments: str) -> Outcome:
        settings = ["kernels=reference", "model.dtype=f32", "cache.dtype=f32", "workload.max_new_tokens=5"]
        return command("model=file", f"model.source={tiny_gguf}", *settings, *arguments)

    return call
