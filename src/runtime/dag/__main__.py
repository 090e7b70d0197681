"""`python -m runtime.dag`: documents of AgenticDSL are checked, run and drawn."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from model.errors import ModelFileError
from runtime.command_line import FAILED, INTERRUPTED, USER_ERROR, explain
from runtime.dag.check_commands import graph, validate
from runtime.dag.errors import DocumentError
from runtime.errors import UserError

EPILOG = "Exit codes: 0; 1 if a run failed; 2 for what is wrong with a document, a file or a setting; 130 after Ctrl-C."


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code. arguments: those of the command line."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "validate":
            return validate(options.files, is_strict=options.strict)
        if options.command == "graph":
            return graph(options.file, options.svg)
        from runtime.dag.run_command import RunOptions, run  # torch comes in here, which the others need not wait for

        settings = RunOptions(
            options.file, options.ctx, options.trace, options.view, tuple(options.tools), tuple(options.settings)
        )
        return 0 if run(settings) else FAILED
    except DocumentError as error:
        print(error, file=sys.stderr)
        return USER_ERROR
    except (HydraException, OmegaConfBaseException, UserError, ModelFileError) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runtime.dag", description=__doc__, epilog=EPILOG)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("validate", help="say what is wrong with documents; nothing runs", epilog=EPILOG)
    check.add_argument("files", nargs="+", type=Path, metavar="FILE")
    check.add_argument("--strict", action="store_true", help="take blocks only in the form for files, with their marks")
    execute = commands.add_parser(
        "run", help="run a document; prints the context that it leaves, as JSON", epilog=EPILOG
    )
    execute.add_argument("file", type=Path, metavar="FILE")
    execute.add_argument("--ctx", metavar="JSON", help="the context to begin with: an object, or @FILE with one")
    execute.add_argument("--trace", type=Path, metavar="FILE", help="write a line of JSON for each node")
    execute.add_argument("--view", type=Path, metavar="FILE", help="write a page (HTML) that shows the run")
    execute.add_argument(
        "--tools", action="append", default=[], metavar="MODULE", help="Python module whose public functions are tools"
    )
    execute.add_argument(
        "settings", nargs="*", metavar="SETTING", help="of the model and its engine, as for runtime.run: model=smollm2"
    )
    draw = commands.add_parser("graph", help="draw a document in the terminal, or as SVG", epilog=EPILOG)
    draw.add_argument("file", type=Path, metavar="FILE")
    draw.add_argument("--svg", type=Path, metavar="FILE", help="write a drawing there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
