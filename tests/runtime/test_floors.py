"""A floor imports only from floors below it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.command_line import CONF

SOURCE = CONF.parent / "src"
FLOORS = ["triton_cpu", "kernels", "model", "runtime"]


def imported_packages(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (name.partition(".")[0] for name in names)


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_go_down(floor: str) -> None:
    above = set(FLOORS[FLOORS.index(floor) + 1 :])
    files = list((SOURCE / floor).rglob("*.py"))
    assert files
    assert not {path.name: found for path in files if (found := above & set(imported_packages(path)))}
