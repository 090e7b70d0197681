"""The command line of the benchmark: one child process for each engine, then one table."""

import argparse
import json
import os
import random
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from omegaconf import OmegaConf
from rich.console import Console

from model.errors import ModelFileError
from model.gguf_file import GGUFFile
from model.loader import load_encoder
from model.source import default_cache_dir, resolve
from runtime.bench.child import Engine, Outcome, run_engine
from runtime.bench.machine import machine_line
from runtime.bench.spec import ATTENTION_CASES, RECURRENT_CASES, Case, Spec
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
RWKV = [Engine(f"rwkv {name}", "rwkv_peer", f"cpu {name}") for name in ("fp32", "bf16")]
LLAMA_CPP_PLAIN = [  # where those crash: without the AMX path and its repacked weights
    Engine(f"{engine.name}, no repacking", engine.module, f"{engine.variant},no-repack") for engine in LLAMA_CPP
]


class Family(NamedTuple):
    """What is measured on one kind of file. variants: of this project, activations and weights."""

    cases: tuple[Case, ...]
    variants: tuple[str, ...]
    peers: list[Engine]


ATTENTION = Family(ATTENTION_CASES, ("bf16,packed",), TRANSFORMERS + LLAMA_CPP)
RECURRENT_GGUF = Family(RECURRENT_CASES, ("bf16,packed",), LLAMA_CPP)
RECURRENT = Family(RECURRENT_CASES, ("f32,f32", "bf16,bf16", "bf16,q8_0"), RWKV)


def main() -> None:
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else 170)
    try:
        path = resolve(options.source, options.sha256)
        family = _family(path)
        spec = _make_spec(path, family, options)
    except ModelFileError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)
    machine = machine_line(spec.threads)
    console.print(f"{path.name} on {machine}", highlight=False)
    variants = [variant.split(",") for variant in options.variants or family.variants]
    ours = [
        _run(Engine(f"this project, {weights}, {dtype}", "ours", f"{dtype},{weights}"), spec, sys.executable, console)
        for dtype, weights in variants
    ]
    peers = []
    if options.peers:
        peers = [_run(engine, spec, options.peer_python, console) for engine in family.peers]
        if any(outcome.crashed for outcome in peers):
            peers += [_run(engine, spec, options.peer_python, console) for engine in LLAMA_CPP_PLAIN]
    print_table(console, spec.cases, ours, peers)
    if options.json:
        record = {
            "machine": machine,
            "model": spec.model,
            "cases": [asdict(case) for case in spec.cases],
            "engines": [
                {"name": o.engine.name, "failure": o.failure, "result": o.result and asdict(o.result)}
                for o in ours + peers
            ],
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if any(outcome.result is None for outcome in ours):
        sys.exit(1)


def _options() -> argparse.Namespace:
    default = OmegaConf.load(CONF / "model" / "smollm2.yaml")
    parser = argparse.ArgumentParser(prog="python -m runtime.bench", description=__doc__)
    add = parser.add_argument
    add("--source", default=default.source, help="a model file, as model.source (default: the default model)")
    add("--sha256", default=None, help="the file's pinned sum")
    add(
        "--threads",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="CPU threads of every engine (default: all)",
    )
    add("--runs", type=int, default=5, help="counted runs of each case; the median is shown (default: 5)")
    add(
        "--variants",
        nargs="+",
        metavar="ACTIVATIONS,WEIGHTS",
        help="of this project, as model.dtype and model.weights: f32,f32 or bf16,q8_0 (default: by the model)",
    )
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


def _family(path: Path) -> Family:
    if path.suffix == ".pth":
        return RECURRENT
    architecture = GGUFFile(path).get("general.architecture", str)
    return RECURRENT_GGUF if architecture == "rwkv7" else ATTENTION


def _make_spec(path: Path, family: Family, options: argparse.Namespace) -> Spec:
    encoder = load_encoder(path)
    random_ids = random.Random(0)
    batch, context = max(case.batch for case in family.cases), max(case.context for case in family.cases)
    prompts = [[random_ids.randrange(encoder.vocab_size) for _ in range(context)] for _ in range(batch)]
    return Spec(
        model=str(path),
        cases=family.cases,
        threads=options.threads,
        runs=options.runs,
        prompts=prompts,
        text=encoder.encode(TEXT, bos=True),
        variant="",
        output="",
        cache_dir=str(default_cache_dir()),
    )


def _run(engine: Engine, spec: Spec, python: str, console: Console) -> Outcome:
    with console.status(f"measuring {engine.name}"):
        return run_engine(engine, spec, python)


if __name__ == "__main__":
    main()
