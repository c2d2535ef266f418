"""Adapting tokenizers of each kind for an encoder, and refusing sources that are not a tokenizer."""

import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tokenizers
from tokenizers import AddedToken, processors

from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.tokenizer.adapt import adapt_tokenizer, copy_tokenizer
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokenizer.probes import probes
from anaume.tokenizer.train import train_tokenizer

from .engines import AWKWARD, bpe_folder, hugging_face, llm_jp_folder, plain, put_template, sentencepiece_model


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
def test_a_missing_special_token_is_added_behind_the_others(
    tmp_path: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    special = [f"<{role}>" for role in ("mask", "pad", "cls", "sep") if role != missing]
    folder = bpe_folder(tmp_path / "decoder", special, {})
    with pytest.raises(
        UserError, match=f"a tokenizer without a {missing} token; expected one with mask, pad, cls, sep"
    ):
        load_tokenizer(folder)
    adapt_tokenizer(str(folder), tmp_path / "encoder")
    assert f"adds <{missing.upper()}|anaume> with the ids 261" in capsys.readouterr().err
    encoder = load_tokenizer(tmp_path / "encoder")
    assert getattr(encoder, f"{missing}_id") == 261
    assert encoder.vocab_size == 262
    cls, sep = encoder.cls_id, encoder.sep_id
    assert hugging_face(tmp_path / "encoder")("ab")["input_ids"] == [cls, 257, sep]


def test_a_model_that_normalises_is_left_to_tokenizers(tmp_path: Path) -> None:
    special = ["[MASK]", "[PAD]", "[CLS]", "[SEP]"]
    model = sentencepiece_model(tmp_path / "a.model", user_defined_symbols=[*special, "別"])
    adapt_tokenizer(str(model), tmp_path / "out")
    encoder = load_tokenizer(tmp_path / "out")
    assert encoder.engine == "tokenizers"
    engine = plain(encoder.folder)
    pieces = [engine.id_to_token(int(i)) for i in encoder.encode(["ＡＢ　これは別の   文"])[0]]
    assert "".join(map(str, pieces)) == "▁AB▁これは別の▁文"
    assert not set(encoder.encode(["[MASK]"])[0].tolist()) & set(encoder.special_ids)


def test_sources_that_are_not_a_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "text.model").write_bytes("これは模型ではない".encode())
    (tmp_path / "empty").mkdir()
    bpe = sentencepiece_model(tmp_path / "bpe.model", model_type="bpe")
    suffix = sentencepiece_model(tmp_path / "suffix.model", treat_whitespace_as_suffix=True)
    for source, message in {
        tmp_path / "text.model": "not a SentencePiece model; expected a .model file",
        bpe: "a SentencePiece model of type BPE; expected UNIGRAM",
        suffix: "suffix.model: transformers would read other tokens than SentencePiece in a sentence, words,",
        tmp_path / "empty": "contains no tokenizer.json; expected a folder that contains it, sentencepiece.model or",
        tmp_path / "nowhere" / "at" / "all": "no such folder; expected a SentencePiece .model file",
    }.items():
        with pytest.raises(UserError, match=message) as error:
            adapt_tokenizer(str(source), tmp_path / "out")
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"contains no tokenizer\.json; expected a folder that contains it, or"):
        load_tokenizer(tmp_path / "empty")


def test_a_folder_with_another_file_is_not_replaced(trained: Tokenizer, corpus: Source, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match=r"it holds model\.safetensors\); expected a new folder"):
        adapt_tokenizer(str(trained.folder), tmp_path)
    with pytest.raises(UserError, match=r"it holds model\.safetensors\); expected a new folder"):
        train_tokenizer([corpus], 560, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {"byte_fallback": False},
    "bytes": {},
    "case": {"normalization_rule_name": "nmt_nfkc_cf"},
    "spaces kept": {"normalization_rule_name": "nfkc", "remove_extra_whitespaces": False},
    "unknown": {"normalization_rule_name": "identity", "byte_fallback": False, "remove_extra_whitespaces": False},
    "no prefix": {"normalization_rule_name": "identity", "add_dummy_prefix": False},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_other_kinds_of_sentencepiece_models_keep_their_ids(tmp_path: Path, settings: dict[str, Any]) -> None:
    """The texts lack no habit in which `tokenizers` and SentencePiece differ; "<0x0A>" has unknown characters."""
    special = ["[MASK]", "[PAD]", "[CLS]", "[SEP]"]
    model = sentencepiece_model(tmp_path / "a.model", control_symbols=special, **settings)
    adapt_tokenizer(str(model), tmp_path / "out")
    encoder, reference = load_tokenizer(tmp_path / "out"), sentencepiece.SentencePieceProcessor(str(model))
    auto = hugging_face(tmp_path / "out")
    for name, text in probes(special).items():
        (ids,) = encoder.encode([text])
        assert ids.tolist() == reference.encode(text), name
        if "literal" not in name:
            assert auto(text, verbose=False)["input_ids"] == [encoder.cls_id, *ids, encoder.sep_id], name


def test_unknown_characters_stay_unknown(tmp_path: Path) -> None:
    model = sentencepiece_model(tmp_path / "a.model", byte_fallback=False, normalization_rule_name="identity")
    adapt_tokenizer(str(model), tmp_path / "out")
    encoder = load_tokenizer(tmp_path / "out")
    (ids,) = encoder.encode(["文\n文"])
    assert ids.tolist().count(encoder.unk_id or 0) == encoder.count_unknown(ids) == 1
    reference = sentencepiece.SentencePieceProcessor(str(model))
    for text in ("<s>\x00", "\x00<s>", "\x00<s>\x00文"):  # unknown characters beside a name make one run with it
        assert encoder.encode([text])[0].tolist() == reference.encode(text)


@pytest.mark.parametrize("lstrip", [True, False])
def test_properties_of_added_tokens_survive(tmp_path: Path, lstrip: bool) -> None:
    folder = bpe_folder(tmp_path / "given", ["</s>", "<pad>"], {"cls_token": "<s>", "sep_token": "</s>"})
    engine = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    engine.add_special_tokens([AddedToken("<mask>", lstrip=lstrip, normalized=False, special=True)])
    engine.add_tokens([AddedToken("穴埋め", single_word=True, rstrip=True)])
    engine.post_processor = processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 0), ("</s>", 258)])
    engine.save(str(folder / "tokenizer.json"))
    before = engine.get_added_tokens_decoder()
    for write, out in ((adapt_tokenizer, tmp_path / "adapted"), (copy_tokenizer, tmp_path / "copied")):
        write(str(folder), out)
        after = tokenizers.Tokenizer.from_file(str(out / "tokenizer.json")).get_added_tokens_decoder()
        assert {i: repr(token) for i, token in after.items()} == {i: repr(token) for i, token in before.items()}
        auto = hugging_face(out)
        tokens = auto.convert_ids_to_tokens(auto("ab <mask>")["input_ids"])
        assert tokens == ["<s>", "ab", *([] if lstrip else ["Ġ"]), "<mask>", "</s>"]


def test_a_copy_keeps_lengths_and_template_and_changes_the_class(tmp_path: Path) -> None:
    """modernbert-ja's form: `<s> A </s>`, although cls and sep have other names."""
    folder = bpe_folder(tmp_path / "given", ["</s>", "<cls>", "<sep>", "<pad>", "<mask>"], {})
    names = put_template(folder)
    config = {"tokenizer_class": "DebertaV2Tokenizer", "model_max_length": 99, "do_lower_case": True, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    copy_tokenizer(str(folder), tmp_path / "copy")
    assert (tmp_path / "copy" / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    auto, loaded = hugging_face(tmp_path / "copy"), load_tokenizer(tmp_path / "copy")
    assert auto.model_max_length == 99
    assert auto.tokenize("ab", "c", add_special_tokens=True) == ["<s>", "ab", "</s>", "c", "</s>"]
    assert (loaded.cls_id, loaded.sep_id, loaded.mask_id) == (0, 258, 262)
