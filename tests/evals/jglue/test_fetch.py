"""Files of JGLUE and JCoLA from a local server: what is written, what is kept, what is refused."""

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anaume.errors import UserError
from anaume.evals.jglue import fetch
from anaume.evals.jglue.read import read_task
from anaume.evals.jglue.tasks import PUBLISHED, TASKS, public_tasks, tasks_in


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a local server and the folder that it serves."""
    served = tmp_path / "served"
    served.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *_: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", served
        running.shutdown()


@pytest.fixture
def published(server: tuple[str, Path], jglue_folder: Path) -> dict[str, str]:
    """The tasks as their repositories hold them, on the server, and the checksums of two of the files."""
    for task in public_tasks():
        place = server[1] / (fetch.JCOLA if task.name == "jcola" else fetch.JGLUE)
        place.mkdir(parents=True, exist_ok=True)
        (jglue_folder / task.folder).rename(place / task.folder)
    known = ("jsts-v1.3/train-v1.3.json", "jnli-v1.3/valid-v1.3.json")
    files = {name: server[1] / fetch.JGLUE / name for name in known}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def test_fetch(server: tuple[str, Path], published: dict[str, str], tmp_path: Path) -> None:
    (server[1] / fetch.JGLUE / "jnli-v1.3" / "test-v1.3.json").unlink()
    folder = tmp_path / "new"
    fetch.fetch(public_tasks(), folder, base=server[0], published=published)
    assert [task.name for task in tasks_in(folder)] == [task.name for task in public_tasks()]
    assert list(read_task(TASKS["jnli"], folder).splits) == ["train", "validation"]
    assert len(read_task(TASKS["jsquad"], folder).splits["train"]) == 160
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert len(sums) == 3 + 2 + 3 + 3 + 3
    for name, checksum in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum


def test_fetch_keeps_what_is_there(server: tuple[str, Path], published: dict[str, str], tmp_path: Path) -> None:
    mine = tmp_path / "new" / "jsts-v1.3" / "train-v1.3.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine", encoding="utf-8")
    other = f"{'0' * 64}  thesis.tex"
    (tmp_path / "new" / "SHA256SUMS").write_text(f"{other}\n{'0' * 64}  jsts-v1.3/train-v1.3.json\n")
    fetch.fetch([TASKS["jsts"]], tmp_path / "new", base=server[0], published=published)
    assert mine.read_text(encoding="utf-8") == "mine"
    assert (mine.parent / "valid-v1.3.json").exists()
    sums = [line.split("  ") for line in (tmp_path / "new" / "SHA256SUMS").read_text().splitlines()]
    assert "  ".join(sums[0]) == other
    assert [name for _, name in sums[1:]] == [f"jsts-v1.3/{split}-v1.3.json" for split in ("test", "train", "valid")]
    assert sums[2][0] == hashlib.sha256(b"mine").hexdigest()


def test_fetch_of_another_file(server: tuple[str, Path], published: dict[str, str], tmp_path: Path) -> None:
    path = server[1] / fetch.JGLUE / "jsts-v1.3" / "train-v1.3.json"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(
        UserError, match=r"train-v1.3.json: SHA-256 [0-9a-f]{64}: not the published file; expected [0-9a-f]{64}"
    ):
        fetch.fetch([TASKS["jsts"]], tmp_path / "new", base=server[0], published=published)
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_fetched(server: tuple[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"jsts-v1.3/train-v1.3.json: can't be fetched .HTTP Error 404"):
        fetch.fetch([TASKS["jsts"]], tmp_path, base=server[0])
    with pytest.raises(UserError, match=r"can't be fetched .*refused"):
        fetch.fetch([TASKS["jsts"]], tmp_path, base="http://127.0.0.1:9")
    with pytest.raises(UserError, match="marc-ja: can't be fetched; expected a folder marc_ja-v1"):
        fetch.fetch([TASKS["marc-ja"]], tmp_path, base=server[0])


def test_real_checksums(shared_data: Path) -> None:
    """But for JNLI's training split, the files there are the published ones."""
    known = [name for name in PUBLISHED if (shared_data / "jglue" / name).exists()]
    assert len(known) == 11
    other = [
        name
        for name in known
        if hashlib.sha256((shared_data / "jglue" / name).read_bytes()).hexdigest() != PUBLISHED[name]
    ]
    assert other == ["jnli-v1.3/train-v1.3.json"]
