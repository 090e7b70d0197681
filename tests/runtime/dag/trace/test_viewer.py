"""The page of a trace, in a real browser where there is one."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from sample_trace import HOSTILE, record, sample_memory, sample_records
from web_driver import CHROMEDRIVER, CHROMIUM, Browser, dump

from runtime.dag.trace.record import MemorySample, TraceRecord
from runtime.dag.trace.viewer import view, write_view
from runtime.errors import UserError

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
needs_driver = pytest.mark.skipif(CHROMIUM is None or CHROMEDRIVER is None, reason="no chromium with chromedriver")


def drawing(paths: list[str]) -> str:
    boxes = [
        f'<g data-node="{html.escape(path)}"><rect x="10" y="{10 + 40 * i}" width="200" height="30" fill="#ccd"/></g>'
        for i, path in enumerate(paths)
    ]
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="220" height="{40 * len(paths)}">{"".join(boxes)}</svg>'


PATHS = [record.node_path for record in sample_records()]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("view") / "view.html"
    write_view(path, "eight ways", drawing([*PATHS, "/main/never"]), sample_records(), sample_memory())
    return path.as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def data_of(page: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_hostile_texts_stay_texts() -> None:
    records = [record(0, f"/main/{HOSTILE}", "assign", 0.0, 1.0, context_delta={HOSTILE: [HOSTILE]}, error=HOSTILE)]
    page = view(HOSTILE, "", records, [])
    assert page.count("</script") == 2  # the data's and the script's own
    assert "<img" not in page
    assert data_of(page)["records"][0]["context_delta"] == {HOSTILE: [HOSTILE]}


def test_a_page_loads_nothing() -> None:
    page = view("x", drawing(PATHS), sample_records(), sample_memory())
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name, not a place
    assert "default-src 'none'" in page


def test_percent_signs_of_a_document_put_nothing_in() -> None:
    assert "%%data%%" in view("%%data%%", "", [], [])


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write the view .*view\.html"):
        write_view(tmp_path / "file" / "view.html", "x", "", [], [])


@needs_chromium
def test_an_address_shows_its_node(page: str, tmp_path: Path) -> None:
    shown = dump(f"{page}#node={quote('/main/ask5', safe='')}", tmp_path)
    details = shown[shown.index('<div id="details"') : shown.index('<section id="time-panel"')]
    assert "ERR_SIGNATURE_VIOLATION" in details and "parsed_output is no object" in details
    assert "1150 reused" in details


@needs_driver
def test_clicks_lead_from_the_graph_to_a_record_and_back(browser: Browser, page: str) -> None:
    browser.open("about:blank")
    browser.open(page)
    assert "/main/ask5" in browser.text("#details h3")  # what failed is shown first
    browser.click('#graph [data-node="/main/join"]')
    assert browser.text("#details h3") == "/main/join"
    assert browser.run("return location.hash") == "#record=12"
    assert browser.run("return document.querySelector('.record.chosen').dataset.number") == "12"
    browser.click('.record[data-number="4"]')
    assert browser.text("#details h3") == "/main/ask1"
    assert browser.run("return document.querySelector('#graph .chosen').dataset.node") == "/main/ask1"
    assert browser.run("return document.querySelector('#lanes .chosen').dataset.number") == "4"
    browser.click('#graph [data-node="/main/never"]')
    assert "has not run" in browser.text("#details")
    browser.click('#lanes [data-number="14"] .frame')
    assert browser.text("#details h3") == "/main/search"
    browser.run("document.querySelector('.record[data-number=\"12\"]').click()")
    browser.click("#details a.go")
    assert browser.text("#details h3") == "/main/check"  # what the join led to


@needs_driver
def test_a_filter_and_keys(browser: Browser, page: str) -> None:
    browser.open("about:blank")
    browser.open(page)
    browser.type("#search", "llm_call stormy branch 3")
    assert browser.run("return [...document.querySelectorAll('.record')].map(r => r.dataset.number)") == ["6"]
    browser.run("const s = document.getElementById('search'); s.value = ''; s.dispatchEvent(new Event('input'))")
    assert browser.run("return document.querySelectorAll('.record').length") == len(PATHS)
    browser.click('.record[data-number="0"]')
    browser.type("#records", "jjk")
    assert browser.text("#details h3") == "/main/load"


@needs_driver
@pytest.mark.parametrize("axis", ["time", "steps"])
def test_bars_stand_where_their_nodes_ran(browser: Browser, page: str, axis: str) -> None:
    browser.open("about:blank")
    browser.open(page)
    browser.click(f"#axis-{axis}")
    browser.run("document.getElementById('time-all').click()")
    places = browser.run("""
        return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(
            [...document.querySelectorAll('#lanes .mark')].map(mark => {
                const box = mark.querySelector('.frame').getBBox();
                return [Number(mark.dataset.number), box.x, box.x + box.width, box.y];
            })))))""")
    by_number = {number: (left, right, top) for number, left, right, top in places}
    records = {record.number: record for record in sample_records()}
    assert set(by_number) == set(records)
    for one in records.values():
        for other in records.values():
            (left, right, top), (other_left, other_right, other_top) = by_number[one.number], by_number[other.number]
            if one.started < other.started:
                assert left <= other_left + 0.01
            if one.ended < other.ended and one.native_inference and other.native_inference:
                assert right <= other_right + 0.01
            assert one.branch == other.branch or top != other_top


@needs_driver
def test_hostile_texts_do_nothing(browser: Browser, tmp_path: Path) -> None:
    records = [
        record(0, f"/main/{HOSTILE}", "assign", 0.0, 1.0, context_delta={HOSTILE: [HOSTILE]}, error=HOSTILE),
        replace(sample_records()[3], number=1, error_code=HOSTILE, llm_intent=HOSTILE, metadata={"__proto__": HOSTILE}),
    ]
    smuggled = drawing([]).replace("</svg>", "<script>document.title = 'owned'</script><a href='#node=x'>x</a></svg>")
    path = tmp_path / "hostile.html"
    write_view(path, HOSTILE, smuggled, records, [])
    browser.open(path.as_uri())
    for number in (0, 1):  # in the page's own words: chromedriver cannot carry halves of surrogate pairs
        browser.run("document.querySelector(arguments[0]).click()", f'.record[data-number="{number}"]')
        assert browser.run("return document.getElementById('details').innerText.includes('onerror=')")
    assert "owned'>" in browser.run("return document.title")  # as a text, not set by what was smuggled in
    assert browser.run("return document.querySelectorAll('img').length") == 0


@needs_driver
@pytest.mark.parametrize(
    ("records", "memory"),
    [
        ([], []),
        ([], sample_memory()),
        (sample_records(), []),
        ([record(0, "/a", "end", 0.0, 0.0)], [MemorySample(0.0, 0, 0, 0, 0, 0)]),
        ([record(i, "/a", "assign", 0.5, 0.5, branch=(i % 2, i)) for i in range(300)], sample_memory()[:1]),
    ],
    ids=["nothing", "memory alone", "no engine", "an instant", "many branches"],
)
def test_any_trace_can_be_shown(
    browser: Browser, tmp_path: Path, records: list[TraceRecord], memory: list[MemorySample]
) -> None:
    browser.complaints()
    path = tmp_path / "some.html"
    write_view(path, "some", "", records, memory)
    browser.open(path.as_uri())
    assert browser.run("return document.body.dataset.ready") == "true"
    browser.run("for (const button of document.querySelectorAll('button')) button.click()")
    browser.run("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert browser.complaints() == []
    assert "NaN" not in browser.run("return document.getElementById('time-panel').innerHTML")
