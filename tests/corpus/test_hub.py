"""What the Hub says of a repository, asked of servers on this machine: one request, no retries, nothing if cached."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import huggingface_hub
import pytest

from anaume.corpus import hub
from anaume.corpus.readers import Reading, parse_source, parts, read
from anaume.errors import UserError
from anaume.model.place import check_any_place, check_place
from anaume.tokenizer.load import load_tokenizer


class Answers(BaseHTTPRequestHandler):
    """A Hub that has the model and the data set some/name and nothing else."""

    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        there = self.path.partition("?")[0].endswith("/some/name/revision/main")  # as mirrors answer
        body = b'{"id": "some/name", "sha": "0"}' if there else b"{}"
        self.send_response(200 if there else 404)
        if not there:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output quiet."""


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Let the Hub be at an address, with an empty cache."""

    def use(address: str) -> None:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)  # as conftest set it
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    return use


@pytest.fixture
def requests(ask: Callable[[str], None]) -> Iterator[list[str]]:
    """The paths that a Hub on this machine is asked for; the library may ask for some of its own."""
    Answers.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    ask(f"http://127.0.0.1:{server.server_port}")
    yield Answers.asked
    server.shutdown()
    server.server_close()


def test_a_missing_repository_is_asked_for_once(requests: list[str]) -> None:
    with pytest.raises(UserError, match=r"^no/such: no such folder, and the Hub has no such model, or none that you"):
        check_place("no/such")
    with pytest.raises(UserError, match=r"^tokenizer no/such: no such folder, and the Hub has no such model"):
        load_tokenizer("no/such")
    (part,) = parts(parse_source("hub:no/such"))
    with pytest.raises(UserError, match=r"^corpus hub:no/such:train: the Hub has no such dataset"):
        next(read(part, Reading()))
    assert [path.partition("?")[0] for path in requests if "no/such" in path] == [
        "/api/models/no/such/revision/main",
        "/api/models/no/such/revision/main",
        "/api/datasets/no/such/revision/main",
    ]


def test_a_repository_that_is_there(requests: list[str]) -> None:
    check_place("some/name")
    assert hub.problem("some/name", "dataset") == ""
    check_any_place(["no/such", "some/name", "no/other"])
    asked = [path.partition("?")[0].removeprefix("/api/") for path in requests]
    assert asked.count("models/no/such/revision/main") == 1
    assert "models/no/other/revision/main" not in asked  # the third model is not asked for: one that is there is enough


def test_a_cached_repository_is_not_asked_for(requests: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache" / "models--no--such" / "snapshots" / "0123").mkdir(parents=True)
    check_place("no/such")
    assert not [path for path in requests if "no/such" in path]


def test_nobody_answers(ask: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "TIMEOUT", 0.1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)  # takes the connection and is silent
    ask(f"http://127.0.0.1:{server.server_port}")
    assert "not available on the Hub (ReadTimeout" in hub.problem("some/name")
    server.server_close()  # the port is closed now
    assert "not available on the Hub (ConnectError" in hub.problem("some/name")


def test_a_hub_that_is_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"^some/name: no such folder, and the Hub is switched off by HF_HUB_OFFLINE"):
        check_place("some/name")
