"""Each notebook runs from top to bottom, on a tiny model."""

import json
from pathlib import Path

import pytest

from runtime.command_line import CONF

NOTEBOOKS = sorted((CONF.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_notebook_runs(path: Path, tiny_gguf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    first, *others = ("".join(cell["source"]) for cell in cells)
    assert first.startswith("OVERRIDES = [") and all(not cell["outputs"] for cell in cells)
    scope: dict[str, object] = {}
    exec(first, scope)
    scope["OVERRIDES"] += ["kernels=reference", "model=file", f"model.source={tiny_gguf}"]  # type: ignore[operator]
    for source in others:
        exec(source, scope)
    assert "blocks free" in capsys.readouterr().out
