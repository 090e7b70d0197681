"""Train one of the four small models on a CPU: python -m experiments.train rwkv7-1m

Packages are fetched and checkpoints kept in the cache folder; the same command goes on where the last one stopped.
At the end the model is exported to experiments/models/<name>, with its held-out bits per byte in the model card.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from experiments.train.corpus import CACHE, CorpusError
from experiments.train.evaluation import bits_per_byte
from experiments.train.export import export
from experiments.train.recipes import BATCH, RECIPES
from experiments.train.tokens import load_tokens
from experiments.train.trainer import Trainer

MODELS = Path(__file__).resolve().parents[1] / "models"
CHECKPOINT_SECONDS = 120
MEASURED_STEPS = 10  # that tell how many steps fit into --minutes
SMOOTHING = 0.98  # of the loss that is shown


def main() -> int:
    arguments = parse_arguments()
    console = Console()
    # A job in the background ignores Ctrl-C and is ended by SIGTERM: both are to leave a checkpoint.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    torch.set_num_threads(arguments.threads)
    try:
        tokenizer, data = load_tokens(arguments.cache)
    except CorpusError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    trainer = Trainer(RECIPES[arguments.model], data)
    checkpoint = arguments.cache / f"{arguments.model}.pt"
    if checkpoint.exists():
        trainer.restore(checkpoint)
    if arguments.evaluate:
        console.print(bits_per_byte(trainer.model, data))
        return 0
    if arguments.steps:
        trainer.steps = arguments.steps
    if not arguments.export and not run(trainer, checkpoint, console, arguments.minutes):
        console.print(f"stopped after {trainer.step} of {trainer.steps} steps; the same command goes on from there")
        return 130
    folder = arguments.output / arguments.model
    export(folder, arguments.model, trainer, tokenizer)
    console.print(f"wrote {folder}")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=RECIPES)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="how many in all; the default is the recipe's")
    length.add_argument("--minutes", type=float, help="as many steps as fit, from the speed of the first ones")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="tokens and checkpoints (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=MODELS, help="where the folder goes (default: %(default)s)")
    parser.add_argument("--export", action="store_true", help="export the last checkpoint without training")
    parser.add_argument("--evaluate", action="store_true", help="print the last checkpoint's held-out bits per byte")
    return parser.parse_args()


def run(trainer: Trainer, checkpoint: Path, console: Console, minutes: float | None) -> bool:
    """Train to the last step, with a checkpoint every two minutes and when interrupted; False if it was stopped."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    measured_from, start, saved = trainer.step, time.monotonic(), time.monotonic()
    smooth: float | None = None
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("loss", total=trainer.steps, completed=trainer.step)
        try:
            while trainer.step < trainer.steps:
                loss = trainer.advance()
                smooth = loss if smooth is None else SMOOTHING * smooth + (1 - SMOOTHING) * loss
                if minutes and trainer.step == measured_from + MEASURED_STEPS:
                    pace = (time.monotonic() - start) / MEASURED_STEPS
                    trainer.steps = measured_from + max(int(minutes * 60 / pace), MEASURED_STEPS)
                progress.update(task, completed=trainer.step, total=trainer.steps, description=f"loss {smooth:.3f}")
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    trainer.save(checkpoint)
                    saved = time.monotonic()
                    speed = (trainer.step - measured_from) * BATCH * trainer.context / (saved - start)
                    console.log(f"step {trainer.step}: loss {smooth:.3f}, {speed:.0f} tokens/s")
        except KeyboardInterrupt:
            trainer.save(checkpoint)
            return False
    trainer.save(checkpoint)
    return True


if __name__ == "__main__":
    sys.exit(main())
