"""What the command line does with documents that need not run."""

from collections.abc import Sequence
from pathlib import Path

from runtime.command_line import USER_ERROR
from runtime.dag.document.drawing import draw_svg, draw_text
from runtime.dag.document.library import shipped_library
from runtime.dag.document.parser import read_document
from runtime.dag.document.validator import validate as find_problems
from runtime.dag.errors import DocumentError
from runtime.errors import UserError


def validate(files: Sequence[Path], *, is_strict: bool) -> int:
    """Prints a line for each fault and warning, and one for each file without. Gives 2 if there is a fault, else 0."""
    code = 0
    for file in files:
        document = read_document(file, "strict" if is_strict else "tolerant")
        problems = find_problems(document, shipped_library(), None)
        for problem in problems:
            print(problem if problem.is_error else f"warning: {problem}")
        if any(problem.is_error for problem in problems):
            code = USER_ERROR
        else:
            print(f"{file}: {len(document.graphs)} graphs, {len(document.nodes)} nodes, no errors")
    return code


def graph(file: Path, svg: Path | None) -> int:
    """Prints the drawing, or writes it. The exit code."""
    document = read_document(file)
    if not document.graphs:
        raise (
            DocumentError(list(document.problems)) if document.problems else UserError(f"{file} has no blocks to draw")
        )
    if svg is None:
        print(draw_text(document, shipped_library()))
        return 0
    try:
        svg.write_text(draw_svg(document, shipped_library()), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {svg}: {error.strerror}") from error
    return 0
