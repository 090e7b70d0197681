"""A browser to click in, spoken to over HTTP as the WebDriver standard says."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--window-size=1400,950"]  # fmt: skip


def dump(address: str, profile: Path) -> str:
    """The page as it is once its script has run."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--virtual-time-budget=3000", "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


class Browser:
    def __init__(self, profile: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._process = subprocess.Popen(
            [str(CHROMEDRIVER), f"--port={self._port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._session = ""
        options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={profile}"]}
        capabilities = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        deadline = time.monotonic() + 30
        while not self._session:
            try:
                self._session = self._ask("POST", "/session", {"capabilities": capabilities})["sessionId"]
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > deadline:
                    self._process.kill()
                    raise
                time.sleep(0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._of_session("DELETE", "")
        finally:
            self._process.terminate()
            self._process.wait()

    def open(self, address: str) -> None:
        self._of_session("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: object) -> Any:
        return self._of_session("POST", "/execute/sync", {"script": script, "args": arguments})

    def click(self, selector: str) -> None:
        element = self._find(selector)
        self._of_session("POST", f"/element/{element}/click", {})

    def type(self, selector: str, text: str) -> None:
        element = self._find(selector)
        self._of_session("POST", f"/element/{element}/value", {"text": text})

    def text(self, selector: str) -> str:
        return self.run("return document.querySelector(arguments[0]).innerText", selector)

    def complaints(self) -> list[str]:
        """What the console says."""
        return [entry["message"] for entry in self._of_session("POST", "/se/log", {"type": "browser"})]

    def _find(self, selector: str) -> str:
        found = self._of_session("POST", "/element", {"using": "css selector", "value": selector})
        return next(iter(found.values()))

    def _of_session(self, method: str, path: str, body: object = None) -> Any:
        return self._ask(method, f"/session/{self._session}{path}", body)

    def _ask(self, method: str, path: str, body: object) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {json.load(error)['value']['message']}") from None
