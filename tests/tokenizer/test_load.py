"""Opening tokenizer folders, damaged ones included."""

import subprocess
import sys
from pathlib import Path

import pytest
import tokenizers
from tokenizers import models

from anaume.errors import UserError
from anaume.tokenizer.load import Tokenizer, load_tokenizer

from .engines import sentencepiece_model


def test_special_pieces_that_a_model_finds_in_raw_text_are_left_out(tmp_path: Path) -> None:
    names = ["<unk>", "<mask>", "<pad>", "<cls>", "<sep>"]
    vocabulary = [*((name, 0.0) for name in names), *((c, -1.0) for c in "<mask>ab")]
    engine = tokenizers.Tokenizer(models.Unigram(list(dict(vocabulary).items()), 0, False))
    engine.add_special_tokens(names)
    engine.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path)
    assert [tokenizer.vocab_size, tokenizer.unk_id] == [12, None]
    pieces = [engine.id_to_token(int(i)) for i in tokenizer.encode(["a<mask>b"])[0]]
    assert pieces == ["a", "b"]


def test_a_sentencepiece_model_of_another_tokenizer_is_refused(trained: Tokenizer, tmp_path: Path) -> None:
    for file in trained.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    sentencepiece_model(tmp_path / "sentencepiece.model")
    with pytest.raises(UserError, match=r"its pieces are not those of tokenizer\.json"):
        load_tokenizer(tmp_path)


def test_heavy_libraries_are_not_imported() -> None:
    heavy = ("torch", "transformers", "datasets", "pyarrow", "fsspec", "datatrove", "ray")
    code = f"import sys, anaume.tokens.build; print([name for name in {heavy} if name in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


def test_a_damaged_tokenizer_json(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{broken")
    with pytest.raises(UserError, match=r"tokenizer\.json: not a tokenizer"):
        load_tokenizer(tmp_path)
