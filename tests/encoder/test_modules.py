"""Models of sentence-transformers: their tokenizer is that of tokenizer.json, and their kind is known."""

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from anaume.encoder.load import load_encoder
from anaume.encoder.modules import is_late, open_late, open_single_vector
from anaume.encoder.pooling import pooling_of
from anaume.errors import UserError

TEXT = "東京は首都である。"


@pytest.mark.parametrize("opened", [open_single_vector, open_late])
def test_the_tokenizer_is_that_of_tokenizer_json(
    opened: object, bert_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The class that transformers takes would cut words in another way."""
    assert callable(opened)
    folder = shutil.copytree(bert_folder, tmp_path / "model")
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    config |= {"tokenizer_class": "BertTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    expected = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(TEXT).ids
    network = opened(str(folder))
    assert network.preprocess([TEXT])["input_ids"][0].tolist() == expected
    assert "which is used instead" in capsys.readouterr().err
    assert network.max_seq_length == load_encoder(str(folder), masked_lm=False).max_length


def test_late_models_are_known_by_their_modules(modernbert_folder: Path, tmp_path: Path) -> None:
    open_late(str(modernbert_folder)).save_pretrained(str(tmp_path / "late"), create_model_card=False)
    open_single_vector(str(modernbert_folder)).save_pretrained(str(tmp_path / "single"), create_model_card=False)
    folders = [modernbert_folder, tmp_path / "single", tmp_path / "late"]
    assert [is_late(str(folder)) for folder in folders] == [False, False, True]
    device = load_encoder(str(modernbert_folder), masked_lm=False).device
    with pytest.raises(UserError, match="late: has a vector for each token, and none for the text; expected eval ret"):
        pooling_of(str(tmp_path / "late"), "own", device)
    assert pooling_of(str(tmp_path / "late"), "mean", device).modules is None


def test_a_damaged_list_of_modules(modernbert_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(modernbert_folder, tmp_path / "model")
    (folder / "modules.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(UserError, match=r"modules\.json: can't be opened"):
        is_late(str(folder))
