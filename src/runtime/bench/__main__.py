"""The command line of the benchmark: one child process for each engine, then one table."""

import argparse
import json
import os
import random
import sys
from dataclasses import asdict
from pathlib import Path

from omegaconf import OmegaConf
from rich.console import Console

from model.errors import ModelFileError
from model.gguf_file import GGUFFile
from model.gguf_vocabulary import vocabulary_from_gguf
from model.source import default_cache_dir, resolve
from model.token_encoder import SubwordEncoder
from runtime.bench.child import Engine, Outcome, run_engine
from runtime.bench.machine import machine_line
from runtime.bench.spec import CASES, Spec
from runtime.bench.table import print_table
from runtime.command_line import CONF, USER_ERROR

TEXT = (
    "The lighthouse keeper climbed the stairs every evening, because the lamp had to be lit before dark. In "
    "winter the wind came from the north and shook the windows, and the ships that passed were few. He wrote "
    "their names in a book, with the hour and the weather, and when the book was full he began another one."
)
TRANSFORMERS = [
    Engine("transformers bf16", "transformers_peer", "bfloat16"),
    Engine("transformers f32", "transformers_peer", "float32"),
]
LLAMA_CPP = [
    Engine("llama.cpp, flash attention on", "llama_cpp_peer", "on"),
    Engine("llama.cpp, flash attention off", "llama_cpp_peer", "off"),
]
LLAMA_CPP_PLAIN = [  # where those crash: without the AMX path and its repacked weights
    Engine(f"{engine.name}, no repacking", engine.module, f"{engine.variant},no-repack") for engine in LLAMA_CPP
]


def main() -> None:
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else 170)
    try:
        spec = _make_spec(options)
    except ModelFileError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)
    machine = machine_line(spec.threads)
    console.print(f"{Path(spec.model).name} on {machine}", highlight=False)
    ours = Engine(f"this project, {options.weights}, {options.dtype}", "ours", f"{options.dtype},{options.weights}")
    outcomes = [_run(ours, spec, sys.executable, console)]
    if options.peers:
        outcomes += [_run(engine, spec, options.peer_python, console) for engine in TRANSFORMERS + LLAMA_CPP]
        if any(outcome.crashed for outcome in outcomes):
            outcomes += [_run(engine, spec, options.peer_python, console) for engine in LLAMA_CPP_PLAIN]
    print_table(console, outcomes)
    if options.json:
        record = {
            "machine": machine,
            "model": spec.model,
            "cases": [asdict(case) for case in CASES],
            "engines": [
                {"name": o.engine.name, "failure": o.failure, "result": o.result and asdict(o.result)} for o in outcomes
            ],
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if outcomes[0].result is None:
        sys.exit(1)


def _options() -> argparse.Namespace:
    default = OmegaConf.load(CONF / "model" / "smollm2.yaml")
    parser = argparse.ArgumentParser(prog="python -m runtime.bench", description=__doc__)
    add = parser.add_argument
    add("--source", default=default.source, help="a GGUF file, as model.source (default: the default model)")
    add("--sha256", default=None, help="the file's pinned sum")
    add(
        "--threads",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="CPU threads of every engine (default: all)",
    )
    add("--runs", type=int, default=5, help="counted runs of each case; the median is shown (default: 5)")
    add("--dtype", choices=["bf16", "f32", "f16"], default="bf16", help="this project's activations and cache")
    add("--weights", choices=["packed", "bf16", "f32"], default="packed", help="this project's weights")
    add("--no-peers", dest="peers", action="store_false", help="measure this project only")
    add(
        "--peer-python",
        default=sys.executable,
        help="interpreter that has the peers' packages (default: this one)",
    )
    add("--json", type=Path, help="also write everything to this file")
    options = parser.parse_args()
    if options.source == default.source and options.sha256 is None:
        options.sha256 = default.sha256
    return options


def _make_spec(options: argparse.Namespace) -> Spec:
    path = resolve(options.source, options.sha256)
    vocabulary = vocabulary_from_gguf(GGUFFile(path))
    random_ids = random.Random(0)
    batch, context = max(case.batch for case in CASES), max(case.context for case in CASES)
    prompts = [[random_ids.randrange(vocabulary.size) for _ in range(context)] for _ in range(batch)]
    return Spec(
        model=str(path),
        threads=options.threads,
        runs=options.runs,
        prompts=prompts,
        text=SubwordEncoder(vocabulary).encode(TEXT, bos=True),
        variant="",
        output="",
        cache_dir=str(default_cache_dir()),
    )


def _run(engine: Engine, spec: Spec, python: str, console: Console) -> Outcome:
    with console.status(f"measuring {engine.name}"):
        return run_engine(engine, spec, python)


if __name__ == "__main__":
    main()
