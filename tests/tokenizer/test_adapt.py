"""Adapting tokenizers of each kind for an encoder, and refusing sources that are not a tokenizer."""

from pathlib import Path

import pytest
import tokenizers
from tokenizers import processors

from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.tokenizer.adapt import adapt_tokenizer
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokenizer.train import train_tokenizer

from .engines import AWKWARD, bpe_folder, hugging_face, llm_jp_folder, plain, sentencepiece_model


def test_a_decoders_folder_gives_the_same_as_its_sentencepiece_model(
    paper: Tokenizer, shared_data: Path, tmp_path: Path
) -> None:
    adapt_tokenizer(str(llm_jp_folder(shared_data, tmp_path / "decoder")), tmp_path / "encoder")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "encoder" / name).read_bytes() == (paper.folder / name).read_bytes()
    encoder = load_tokenizer(tmp_path / "encoder")
    assert encoder.engine == "sentencepiece"
    assert encoder.vocabulary_hash == paper.vocabulary_hash
    texts = list(AWKWARD.values())
    assert [a.tolist() for a in encoder.encode(texts)] == [b.tolist() for b in paper.encode(texts)]


def test_adapting_an_adapted_folder_changes_nothing(trained: Tokenizer, tmp_path: Path) -> None:
    adapt_tokenizer(str(trained.folder), tmp_path / "again")
    for file in trained.folder.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_a_bpe_decoder_with_an_encoders_special_tokens(tmp_path: Path) -> None:
    special = ["[MASK]", "[PAD]", "<|start|>", "<sep>"]
    config = {"cls_token": {"content": "<|start|>"}, "bos_token": "<s>", "model_max_length": 10}
    folder = bpe_folder(tmp_path / "decoder", special, config)
    adapt_tokenizer(str(folder), tmp_path / "encoder")
    auto = hugging_face(tmp_path / "encoder")
    assert auto.tokenize("abc", "d", add_special_tokens=True) == ["<|start|>", "ab", "c", "<sep>", "d", "<sep>"]
    encoder = load_tokenizer(tmp_path / "encoder")
    assert encoder.engine == "tokenizers"
    assert encoder.special_ids == (0, 258, 259, 260, 261)
    (ids,) = encoder.encode(["ab [MASK]<s>"])
    assert not set(ids.tolist()) & set(encoder.special_ids)
    assert auto.decode(ids.tolist()) == "ab [MASK]<s>"


def test_an_encoder_keeps_its_form_of_pairs(tmp_path: Path) -> None:
    folder = bpe_folder(tmp_path / "roberta", ["</s>", "<mask>", "<pad>"], {"cls_token": "<s>", "sep_token": "</s>"})
    engine = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    special = [("<s>", 0), ("</s>", 258)]
    engine.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", special)
    engine.no_truncation()
    engine.save(str(folder / "tokenizer.json"))
    adapt_tokenizer(str(folder), tmp_path / "encoder")
    auto = hugging_face(tmp_path / "encoder")
    assert auto.tokenize("ab", "c", add_special_tokens=True) == ["<s>", "ab", "</s>", "</s>", "c", "</s>"]


@pytest.mark.parametrize("missing", ["mask", "pad", "cls", "sep"])
def test_a_tokenizer_without_a_needed_token(tmp_path: Path, missing: str) -> None:
    special = [f"<{role}>" for role in ("mask", "pad", "cls", "sep") if role != missing]
    folder = bpe_folder(tmp_path / "decoder", special, {})
    with pytest.raises(
        UserError, match=f"a tokenizer without a {missing} token; expected one with mask, pad, cls, sep"
    ):
        load_tokenizer(folder)
    with pytest.raises(
        UserError, match=f"a tokenizer without a {missing} token; expected one with mask, pad, cls, sep"
    ):
        adapt_tokenizer(str(folder), tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()


def test_a_model_that_normalises_is_left_to_tokenizers(tmp_path: Path) -> None:
    special = ["[MASK]", "[PAD]", "[CLS]", "[SEP]"]
    model = sentencepiece_model(tmp_path / "a.model", user_defined_symbols=[*special, "\n"])
    adapt_tokenizer(str(model), tmp_path / "out")
    encoder = load_tokenizer(tmp_path / "out")
    assert encoder.engine == "tokenizers"
    engine = plain(encoder.folder)
    pieces = [engine.id_to_token(int(i)) for i in encoder.encode(["ＡＢ　これは\n別の   文"])[0]]
    assert "".join(map(str, pieces)) == "▁AB▁これは\n別の▁文"
    assert not set(encoder.encode(["[MASK]"])[0].tolist()) & set(encoder.special_ids)


def test_sources_that_are_not_a_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "text.model").write_bytes("これは模型ではない".encode())
    (tmp_path / "empty").mkdir()
    bpe = sentencepiece_model(tmp_path / "bpe.model", model_type="bpe")
    plain_model = sentencepiece_model(tmp_path / "plain.model")
    for source, message in {
        tmp_path / "text.model": "not a SentencePiece model; expected a .model file",
        bpe: "a SentencePiece model of type BPE; expected UNIGRAM",
        plain_model: "a tokenizer without a mask and a pad and a cls and a sep token",
        tmp_path / "empty": "contains no tokenizer.json; expected a folder that contains it, sentencepiece.model or",
        tmp_path / "nowhere" / "at" / "all": "no such folder; expected a SentencePiece .model file",
    }.items():
        with pytest.raises(UserError, match=message) as error:
            adapt_tokenizer(str(source), tmp_path / "out")
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"contains no tokenizer\.json; expected a folder that contains it$"):
        load_tokenizer(tmp_path / "empty")


def test_a_folder_with_another_file_is_not_replaced(trained: Tokenizer, corpus: Source, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match=r"it holds model\.safetensors\); expected a new folder"):
        adapt_tokenizer(str(trained.folder), tmp_path)
    with pytest.raises(UserError, match=r"it holds model\.safetensors\); expected a new folder"):
        train_tokenizer([corpus], 560, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]
