"""The page through a real server: refusals, no path of this machine, unexpected errors."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from anaume.play import blanks
from anaume.play.guard import MAX_BODY
from anaume.play.models import Served

from ..support.live import live

pytest.importorskip("gradio", reason="needs the extra anaume[play]")
# gradio leaves event loops of its own open when it builds a page.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]
PATIENCE = 30.0


@pytest.fixture(scope="module")
def page(served: Served) -> Iterator[str]:
    with live(served) as address:
        yield address


def ask(page: str, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection(page.removeprefix("http://"), timeout=PATIENCE)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def compute(page: str, number: int, *texts: str) -> str:
    """The result of a tab's button, by the requests that a browser makes."""
    body = json.dumps({"data": texts, "fn_index": number, "session_hash": "s"}).encode()
    with urlopen(
        Request(f"{page}/gradio_api/queue/join", body, {"content-type": "application/json"}), timeout=PATIENCE
    ) as answer:
        assert json.load(answer)["event_id"]
    with urlopen(f"{page}/gradio_api/queue/data?session_hash=s", timeout=PATIENCE) as events:
        for line in events:
            message = json.loads(line.removeprefix(b"data: ") if line.strip() else b"{}")
            if message.get("msg") == "process_completed":
                return str(message["output"]["data"][0])
    raise AssertionError("no result")


def test_other_hosts_and_large_bodies_are_refused(page: str) -> None:
    assert ask(page, "GET", "/", {})[0] == 200
    assert ask(page, "GET", "/", {"Host": "evil.example"}) == (421, "this page answers on 127.0.0.1 only\n")
    assert ask(page, "GET", "/", {"Origin": "http://evil.example"})[0] == 403
    assert ask(page, "POST", "/gradio_api/queue/join", {"Content-Length": str(MAX_BODY + 1)})[0] == 413
    assert ask(page, "GET", "/gradio_api/file=/etc/hostname", {})[0] == 404


def test_no_path_of_this_machine_is_told(page: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    for path in ("/", "/config"):
        status, text = ask(page, "GET", path, {})
        assert status == 200
        assert "anaume play" in text
        for folder in (tmp_path_factory.getbasetemp(), Path.home(), Path.cwd(), Path(blanks.__file__).parent):
            assert f"{folder}/" not in text


def test_a_result_and_an_unexpected_error(
    page: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "tiny-bert" in compute(page, 0, "東京は[MASK]である。")
    assert "text: 0 blanks; expected 1 to 8" in compute(page, 0, "東京")
    assert capfd.readouterr() == ("", "")

    def fail(*_: object) -> None:
        raise RuntimeError("/home/someone/model: a secret")

    monkeypatch.setattr(blanks, "predict", fail)
    shown = compute(page, 0, "[MASK]")
    assert shown == '<p class="an-error" role="alert">This text could not be computed; please try another one.</p>'
    assert capfd.readouterr() == ("", "anaume: a tab failed: RuntimeError\n")
