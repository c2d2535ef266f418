"""Tokenizers named by a Hub id, with a stand-in for the download."""

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from anaume.corpus import hub
from anaume.errors import UserError
from anaume.tokenizer.adapt import adapt_tokenizer
from anaume.tokenizer.load import Tokenizer, load_tokenizer


def test_hub_ids(trained: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = []

    def download(repository: str, **_: Any) -> str:
        requests.append(repository)
        if repository != "some/tokenizer":
            raise OSError("not reachable\nmore")
        return str(trained.folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(hub, "problem", lambda *_: "")
    assert load_tokenizer("some/tokenizer").vocabulary_hash == trained.vocabulary_hash
    adapt_tokenizer("some/tokenizer", tmp_path / "out")
    assert load_tokenizer(tmp_path / "out").vocabulary_hash == trained.vocabulary_hash
    with pytest.raises(UserError, match=r"other/tokenizer: no such folder, and not reachable; expected"):
        load_tokenizer("other/tokenizer")
    assert requests == ["some/tokenizer", "some/tokenizer", "other/tokenizer"]
