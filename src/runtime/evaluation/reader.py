"""From a file to the task that its items are."""

from itertools import islice
from pathlib import Path

from model.token_encoder import TokenEncoder
from runtime.config import EvalWorkload
from runtime.errors import ConfigError, UserError
from runtime.evaluation.last_word import LastWordTask
from runtime.evaluation.multiple_choice import MultipleChoiceTask
from runtime.evaluation.row import Row
from runtime.evaluation.task import Task
from runtime.evaluation.text import TextTask
from runtime.text_file import json_object, read_lines


def read_task(workload: EvalWorkload, encoder: TokenEncoder, context: int) -> Task:
    """The task of `workload.path`. context: tokens that the model can see at once.

    Raises UserError naming the file, the line and what is wrong with it.
    """
    path = Path(workload.path)
    window = min(workload.window, context)
    kind = _kind_of(path) if workload.kind == "auto" else workload.kind
    if kind == "text":
        stride = workload.stride or max(1, window // 2)
        if stride > window:
            raise ConfigError(f"workload.stride={stride} skips tokens: it is more than a window of {window}")
        return TextTask(path, encoder, window, stride, workload.limit)
    lines = islice(read_lines(path), workload.limit)
    rows = [Row(line.where, line.number, json_object(line)) for line in lines]
    if not rows:
        raise UserError(f"workload.path={path}: there is nothing in it")
    return (LastWordTask if kind == "last_word" else MultipleChoiceTask)(rows, encoder, window)


def _kind_of(path: Path) -> str:
    if path.suffix != ".jsonl":
        return "text"
    line = next(read_lines(path), None)
    if line is None:
        return "last_word"
    row = json_object(line)
    if "choices" in row:
        return "multiple_choice"
    if "text" in row:
        return "last_word"
    raise UserError(f"{line.where}: neither 'choices' nor 'text' ({', '.join(row)}): set workload.kind")
