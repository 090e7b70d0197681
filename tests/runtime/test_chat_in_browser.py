"""A conversation in a real browser, where there is one, and gradio, and selenium to drive it."""

import json
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tiny_model import TinyModel, write_tiny_gguf

MISSING = [name for name in ("gradio", "selenium") if find_spec(name) is None]
MISSING += [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
FLAGS = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
         "disable-component-update", "disable-sync", "window-size=1000,900"]  # fmt: skip
SETTINGS = ["kernels=reference", "model.dtype=f32", "cache.dtype=f32", "workload.max_new_tokens=30"]

needs_browser = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


class Page:
    """The page as a person sees it, and what the server has noted."""

    def __init__(self, folder: Path, url: str) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in [*FLAGS, f"user-data-dir={folder / 'profile'}"]:
            options.add_argument(f"--{flag}")
        options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options, service)
        self.folder = folder
        self.open(url)

    def open(self, url: str) -> None:
        self.driver.get(url)
        self.wait(lambda: self.driver.find_elements("css selector", "#question textarea"))
        time.sleep(1)  # until the page has got its own conversation

    def ask(self, question: str) -> None:
        self.driver.find_element("css selector", "#question textarea").send_keys(question + "\n")

    def click(self, button: str) -> None:
        self.driver.find_element("id", button).click()

    def said(self) -> list[str]:
        """In one look, as the page may change between two."""
        script = "return [...document.querySelectorAll(arguments[0])].map(element => element.innerText)"
        return self.driver.execute_script(script, "#said [data-testid=user], #said [data-testid=bot]")

    def events(self, kind: str) -> list[dict]:
        (path,) = self.folder.glob("outputs/*/*/events.jsonl")
        events = [json.loads(line) for line in path.read_text().splitlines()]
        return [event for event in events if event["event"] == kind]

    def wait(self, condition: Callable, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.driver.find_element("css selector", "body").text
            time.sleep(0.1)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    model = write_tiny_gguf(tmp_path / "slow.gguf", TinyModel(layers=64))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "runtime.chat", "model=file", f"model.source={model}", *SETTINGS],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "GRADIO_SERVER_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    url = next(found[1] for line in server.stdout if (found := re.search(r"chat at (\S+)", line)))
    page = Page(tmp_path, url)
    yield page
    page.driver.quit()
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=60)
    assert server.returncode == 130 and err == "" and "written to" in out


@needs_browser
def test_a_conversation_in_a_window(page: Page, tmp_path: Path) -> None:
    page.ask("the end")
    page.wait(lambda: len(page.events("Finished")) == 1)
    page.wait(lambda: len(page.said()) == 2)
    first = page.said()
    assert first[0] == "the end" and first[1]
    page.ask("in")
    page.wait(lambda: len(page.events("Finished")) == 2)
    page.wait(lambda: len(page.said()) == 4)
    prompts = [event["prompt_tokens"] for event in page.events("Submitted")]
    assert page.events("Prefilled")[1]["tokens"] <= prompts[1] - prompts[0]

    page.click("save")
    page.wait(lambda: page.driver.find_elements("css selector", "#saved a[download]"))
    page.driver.find_element("css selector", "#saved a[download]").click()
    saved = tmp_path / "conversation.safetensors"
    page.wait(saved.exists)

    page.click("undo")
    page.wait(lambda: page.said() == first)
    field = page.driver.find_element("css selector", "#question textarea")
    page.wait(lambda: field.get_attribute("value") == "in")
    field.send_keys("\n")
    page.wait(lambda: len(page.events("Finished")) == 3)
    texts = [event["text"] for event in page.events("Finished")]
    assert texts[1] == texts[2]

    page.click("reset")
    page.wait(lambda: not page.said())
    page.click("undo")
    page.wait(lambda: "there is no turn to take back" in page.driver.find_element("css selector", "body").text)
    upload = page.driver.find_element("css selector", "input[type=file]")
    upload.send_keys(str(saved))
    page.wait(lambda: len(page.said()) == 4)
    assert page.said()[:2] == first
    upload.send_keys(str(tmp_path / "slow.gguf"))
    page.wait(lambda: "cannot be read as Safetensors" in page.driver.find_element("css selector", "body").text)
    assert len(page.said()) == 4


@needs_browser
def test_an_answer_can_be_stopped_or_left_alone(page: Page) -> None:
    page.ask("the end")
    page.wait(lambda: len(page.events("TokenAccepted")) > 3)
    page.click("stop")
    page.wait(lambda: len(page.events("Finished")) == 1)
    page.ask("in")
    page.wait(lambda: page.events("TokenAccepted")[-1]["request"] == 1)
    page.open(page.driver.current_url)  # a new window, as far as the server knows
    page.wait(lambda: len(page.events("Finished")) == 2)
    page.ask("the")
    page.wait(lambda: len(page.events("Finished")) == 3)
    assert [event["reason"] for event in page.events("Finished")] == ["cancelled", "cancelled", "length"]


def test_without_gradio_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)  # as if it was not there
    monkeypatch.delitem(sys.modules, "runtime.chat.browser", raising=False)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # restored afterwards
    monkeypatch.setattr(sys, "argv", ["chat"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        runpy.run_module("runtime.chat", run_name="__main__", alter_sys=True)
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: the chat in the browser needs gradio: pip install -e '.[chat]'\n"
    assert not list(tmp_path.glob("outputs/*/*"))
