"""Who may ask the page for what, and mistakes on the command line."""

import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anaume.play.guard import MAX_BODY, refusal
from anaume.play.server import reserve

OWN = {"host": "127.0.0.1:7860"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 421),
        ("GET", "/", {"host": "evil.example:7860"}, 421),
        ("GET", "/", {"host": "127.0.0.1:80"}, 421),
        ("GET", "/", OWN | {"origin": "http://evil.example"}, 403),
        ("GET", "/gradio_api/file=/etc/passwd", OWN, 404),
        ("POST", "/gradio_api/upload", OWN | {"content-length": "1"}, 404),
        ("GET", "/assets/../config", OWN, 404),
        ("PUT", "/", OWN, 405),
        ("POST", "/gradio_api/queue/join", OWN, 411),
        ("POST", "/gradio_api/queue/join", OWN | {"content-length": "-1"}, 411),
        ("POST", "/gradio_api/queue/join", OWN | {"content-length": str(MAX_BODY + 1)}, 413),
    ],
)
def test_other_hosts_paths_and_large_bodies_are_refused(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    refused = refusal(method, path, headers, 7860)
    assert refused is not None
    assert refused[0] == status


def test_the_page_and_its_queue_are_answered() -> None:
    assert refusal("GET", "/", OWN | {"origin": "http://127.0.0.1:7860"}, 7860) is None
    assert refusal("GET", "/", {"host": "localhost:7860"}, 7860) is None
    assert refusal("POST", "/gradio_api/queue/join", OWN | {"content-length": "9"}, 7860) is None


def test_a_mistake_is_one_line(
    command_line: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, modernbert_folder: Path
) -> None:
    missing = command_line("play", tmp_path / "none")
    assert missing.status == 2
    assert "no such folder" in missing.err
    monkeypatch.setattr("anaume.cli.page.find_spec", lambda _: None)
    extra = command_line("play", modernbert_folder)
    assert extra.status == 2
    assert "pip install 'anaume[play]'" in extra.err
    monkeypatch.setattr("anaume.cli.page.find_spec", lambda _: True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        used = command_line("play", modernbert_folder, "--port", port)
    assert used.status == 2
    assert used.err == f"anaume: --port {port}: Address already in use; expected a free port, or 0 for any\n"


def test_only_the_loopback_is_bound() -> None:
    with reserve(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_ctrl_c_is_one_line_and_status_130(
    command_line: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, modernbert_folder: Path
) -> None:
    def interrupted(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)  # as uvicorn does after it has closed its connections

    monkeypatch.setattr("anaume.cli.page.find_spec", lambda _: True)
    monkeypatch.setattr("anaume.play.server.play", interrupted)
    ended = command_line("play", modernbert_folder, "--port", 0)
    assert (ended.status, ended.err) == (130, "anaume: stopped\n")
