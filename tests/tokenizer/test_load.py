"""Opening tokenizer folders, damaged ones included."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tokenizers
from tokenizers import models, processors

from anaume.errors import UserError
from anaume.files.outputs import MARK
from anaume.tokenizer.adapt import copy_tokenizer
from anaume.tokenizer.auto import open_auto_tokenizer
from anaume.tokenizer.load import Tokenizer, load_tokenizer

from .engines import bpe_folder, put_template, sentencepiece_model


def test_special_pieces_that_a_model_finds_in_raw_text_become_their_characters(tmp_path: Path) -> None:
    names = ["<unk>", "<mask>", "<pad>", "<cls>", "<sep>"]
    vocabulary = [*((name, 0.0) for name in names), *((c, -1.0) for c in "<mask>ab")]
    engine = tokenizers.Tokenizer(models.Unigram(list(dict(vocabulary).items()), 0, False))
    engine.add_special_tokens(names)
    engine.post_processor = processors.TemplateProcessing("<cls> $A <sep>", None, [("<cls>", 3), ("<sep>", 4)])
    engine.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path)
    assert [tokenizer.vocab_size, tokenizer.unk_id] == [12, 0]
    pieces = [engine.id_to_token(int(i)) for i in tokenizer.encode(["a<mask>b"])[0]]
    assert pieces == ["a", *"<mask>", "b"]


def test_a_sentencepiece_model_of_another_tokenizer_is_not_used(trained: Tokenizer, tmp_path: Path) -> None:
    for file in trained.folder.iterdir():
        if file.name != MARK:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    sentencepiece_model(tmp_path / "sentencepiece.model")
    other = load_tokenizer(tmp_path)
    assert other.engine == "tokenizers"
    texts = ["東京都の人口。", " 大阪\n"]
    assert [ids.tolist() for ids in other.encode(texts)] == [ids.tolist() for ids in trained.encode(texts)]


def test_a_template_that_an_encoder_can_not_use(tmp_path: Path) -> None:
    names = ["<mask>", "<pad>", "<cls>", "<sep>"]
    with pytest.raises(UserError, match="puts 1 special tokens around a text; expected one before and one behind it"):
        load_tokenizer(bpe_folder(tmp_path / "decoder", names, {}))


def test_tokenizer_json_decides_where_transformers_opens_another_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = bpe_folder(tmp_path / "given", ["</s>", "<pad>", "<mask>", "<cls>", "<sep>"], {})
    names = put_template(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "RobertaTokenizer", **names}))
    auto = open_auto_tokenizer(folder)
    assert auto.tokenize("ab", add_special_tokens=True) == ["<s>", "ab", "</s>"]
    assert "of transformers reads '東京 a' as" in capsys.readouterr().err
    assert auto("ab", add_special_tokens=False)["input_ids"] == load_tokenizer(folder).encode(["ab"])[0].tolist()


def test_heavy_libraries_are_not_imported() -> None:
    heavy = ("torch", "transformers", "datasets", "pyarrow", "fsspec", "datatrove", "ray")
    code = f"import sys, anaume.tokens.build; print([name for name in {heavy} if name in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


def test_a_damaged_tokenizer_json(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{broken")
    with pytest.raises(UserError, match=r"tokenizer\.json: not a tokenizer"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_that_python_code_runs_survives_a_copy(tmp_path: Path) -> None:
    """Tohoku's kind: MeCab cuts the words, and no tokenizer.json describes that."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("fugashi")
    (tmp_path / "given").mkdir()
    vocabulary = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "東京", "は", "首都", "##圏", "。"]
    (tmp_path / "given" / "vocab.txt").write_text("\n".join(vocabulary))
    config = {"word_tokenizer_type": "mecab", "mecab_kwargs": {"mecab_dic": "unidic_lite"}, "model_max_length": 77}
    slow = transformers.BertJapaneseTokenizer(str(tmp_path / "given" / "vocab.txt"), **config)
    slow.save_pretrained(tmp_path / "given")
    copy_tokenizer(str(tmp_path / "given"), tmp_path / "copy")
    (tmp_path / "copy" / "config.json").write_text('{"model_type": "modernbert"}')  # as in an export
    tokenizer, auto = load_tokenizer(tmp_path / "copy"), open_auto_tokenizer(tmp_path / "copy")
    assert (tokenizer.engine, tokenizer.cls_id, tokenizer.sep_id, tokenizer.unk_id) == ("transformers", 2, 3, 0)
    assert auto.model_max_length == 77
    text = "東京は首都。猫"
    assert auto(text)["input_ids"] == [2, *tokenizer.encode([text])[0].tolist(), 3] == slow(text)["input_ids"]
    assert tokenizer.encode([text])[0].tolist() == [5, 6, 7, 9, 0]


def test_a_wordpiece_vocabulary_without_tokenizer_json(tmp_path: Path) -> None:
    """Casing and template come from the class of transformers, and the copy has a tokenizer.json with both."""
    transformers = pytest.importorskip("transformers")
    (tmp_path / "given").mkdir()
    vocabulary = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "paris", "is", "##land"]
    (tmp_path / "given" / "vocab.txt").write_text("\n".join(vocabulary))
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 50}
    (tmp_path / "given" / "tokenizer_config.json").write_text(json.dumps(config))
    copy_tokenizer(str(tmp_path / "given"), tmp_path / "copy")
    tokenizer, auto = load_tokenizer(tmp_path / "copy"), open_auto_tokenizer(tmp_path / "copy")
    reference = transformers.AutoTokenizer.from_pretrained(tmp_path / "given")
    text = "Paris isLAND 猫"
    assert auto(text)["input_ids"] == reference(text)["input_ids"] == [2, *tokenizer.encode([text])[0].tolist(), 3]
    assert tokenizer.encode([text])[0].tolist() == [5, 6, 7, 0]
    assert (auto.mask_token_id, auto.pad_token_id, auto.model_max_length) == (4, 1, 50)
    assert list(auto(text)) == ["input_ids", "attention_mask"]
