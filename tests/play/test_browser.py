"""The page in headless Chromium, on a wide screen and on a phone; the server is a process of its own."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from anaume.run import Run

pytest.importorskip("gradio", reason="needs the extra anaume[play]")
playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra anaume[browser]")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]

WIDE = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
PATIENCE = 120.0  # seconds; only a page that never answers is waited for so long
HARM = "window.harm = 1"
HOSTILE = f"<script>{HARM}</script><img src=x onerror='{HARM}'>\u202e\u200fあ${{{HARM}}}"
# What is typed into the fields of each tab, and what its result says then, in this order.
TABS: dict[str, tuple[list[str], list[str]]] = {
    "Fill in": (["東京は[MASK]である。"], ["tiny-modernbert", "%", "tiny-bert", "%"]),
    "Tokens": (["東京は古都である。"], ["tiny-bert", "tokens, ", "per character", "東京", "古都", "classifier"]),
    "Similarity": (["東京は古都である。\n東京は古都である。"], ["tiny-modernbert", "1.00", "tiny-bert", "1.00"]),
    "Search": (
        ["古都", "東京は首都である。\n京都は古都である。"],
        ["tiny-modernbert", "tiny-bert", "tiny-late (MaxSim)", "BM25", "京都は古都である。", "東京は首都である。"],
    ),
    "Entities": (["東京は古都である。"], ["tagger", "東京地名", "は地名", "古都地名"]),
    "Classes": (["東京は古都である。", ""], ["classifier", "良い", "70.0%", "悪い", "20.0%", "普通", "10.0%"]),
}
RUNS = ["step 4, loss", "training, validation", "10 steps"]


@dataclass(frozen=True)
class Server:
    """A server in a process of its own, and the address of its page."""

    process: subprocess.Popen[str]
    address: str


@pytest.fixture(scope="module")
def server(
    modernbert_folder: Path, bert_folder: Path, late_folder: Path, tagger: Path, classifier: Path, straight: Run
) -> Iterator[Server]:
    folders = [modernbert_folder, bert_folder, late_folder, tagger, classifier, straight.folder]
    command = [sys.executable, "-m", "anaume", "play", *map(str, folders), "--port", "0"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"}
    ) as process:
        try:
            assert process.stderr
            line = process.stderr.readline()
            assert line.endswith("/  (Ctrl-C ends it)\n"), line + process.stderr.read()
            yield Server(process, line.split("/  ")[0])
        finally:
            process.kill()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(params=[WIDE, PHONE], ids=["wide", "phone"])
def page(request: pytest.FixtureRequest, chromium: Any, server: Server) -> Iterator[Any]:
    """The page on a screen. At the end, no script has failed and no other machine was asked."""
    context = chromium.new_context(**request.param)
    context.set_default_timeout(1000 * PATIENCE)
    opened = context.new_page()
    errors, asked = [], []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("request", lambda asking: asked.append(asking.url))
    opened.goto(server.address)
    yield opened
    context.close()
    assert errors == []
    assert [url for url in asked if not url.startswith((server.address, "data:", "blob:"))] == []


def show(page: Any, tab: str, texts: list[str]) -> str:
    """The result of a tab for these texts, once it differs from what the tab showed before."""
    page.get_by_role("tab", name=tab, exact=True).click()
    panel = page.get_by_role("tabpanel").filter(visible=True)
    result = panel.locator(".prose, .html-container").last
    before = result.inner_text()
    for field, text in zip(panel.get_by_role("textbox").all(), texts, strict=True):
        field.fill(text)
    panel.get_by_role("button", name="Show").click()
    # Asks for the element anew each time, because the page may put another in its place.
    playwright.expect(result).not_to_have_text(before, use_inner_text=True, timeout=1000 * PATIENCE)
    return " ".join(result.inner_text().split())


def assert_in_order(text: str, parts: list[str]) -> None:
    position = 0
    for part in parts:
        position = text.find(part, position)
        assert position >= 0, f"{part} is missing in {text}"
        position += len(part)


def test_every_tab_shows_its_result(page: Any) -> None:
    for tab, (texts, parts) in TABS.items():
        assert_in_order(show(page, tab, texts), parts)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab
    page.get_by_role("tab", name="Runs", exact=True).click()
    card = page.locator(".an-card").filter(visible=True)
    card.wait_for()
    assert_in_order(" ".join(card.inner_text().split()), RUNS)


def test_a_wrong_input_is_a_friendly_line_and_hostile_text_stays_text(page: Any, server: Server) -> None:
    for tab, (texts, _) in TABS.items():
        line = show(page, tab, ["あ" * 100_000] * len(texts))
        assert "100,000 characters; expected at most 20,000" in line
        assert "Traceback" not in line
        assert show(page, tab, [HOSTILE] * len(texts))
        assert page.evaluate("window.harm") is None
    assert "9 blanks; expected 1 to 8 written as [MASK]" in show(page, "Fill in", ["[MASK]" * 9])
    assert server.process.poll() is None


def test_ctrl_c_ends_the_server_with_one_line(server: Server, chromium: Any) -> None:
    """The last test of this module: an open page, whose stream of events never ends, does not hold the server."""
    opened = chromium.new_page()
    opened.goto(server.address, timeout=1000 * PATIENCE)
    opened.get_by_role("tab", name="Runs", exact=True).wait_for(timeout=1000 * PATIENCE)
    server.process.send_signal(signal.SIGINT)
    _, rest = server.process.communicate(timeout=PATIENCE)
    assert (server.process.returncode, rest) == (130, "anaume: stopped\n")
    opened.close()
