"""Tokenizer folders: what `AutoTokenizer` reads from them, equal ids from both engines, mistakes refused."""

import gzip
import io
import json
import subprocess
import sys
import unicodedata
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import sentencepiece
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

from anaume.corpus.readers import documents
from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.tokenizer import unigram
from anaume.tokenizer.adapt import adapt_tokenizer
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokenizer.train import train_tokenizer

AWKWARD = {
    "empty": "",
    "spaces": " a  b   c ",
    "only spaces": "   ",
    "leading space": " 東京",
    "the space mark": "▁a▁▁b ▁",
    "line ends": "\r\n行1\n行2\n\n行3\r \n",
    "tabs": "\ta\t\tb",
    "emoji": "😀👨‍👩‍👧🇯🇵",
    "rare kanji": "𠮷野家の𩸽、鷗外",
    "full width": "ＡＢＣ１２３　全角　",
    "half width": "ﾊﾝｶｸ ｶﾞ",
    "combining": "か\u3099は\u309a",
    "control": "\x00\x01\x1b\x7f\x85\u200b\ufeff\u2028",
    "private and last": "\ue000\ud7ff\U0010ffff",
    "bytes spelled out": "<0x0A><0xE3>",
    "sentence ends": "。。」。\n。",
    "ties": "0" * 999 + "─" * 999 + "あ" * 999 + "aaa",
    "unknown without end": "ا" * 999 + "😀" * 999 + "\n" * 999 + " " * 999,
    "runs of spaces": "a" + " " * 300 + "b　　　" + " 　" * 99 + "c\u00a0\u00a0d",
    "carriage returns": "一行目\r\n二行目\r\r\n\n\r三行目\r",
    "runs of tabs": "\t" * 200 + "a\t \t b\t\r\n\t",
    "joined emoji": "👩🏽‍🚀👨‍👩‍👧‍👦🏳️‍🌈❤️‍🔥👁️‍🗨️ 1️⃣ 🇯🇵🇺🇸🇯",
    "joiners alone": "\u200d\ufe0f\u200d\u200d👩\u200d",
    "zero width": "東\u200b京\u200c都\u200d\u2060の\ufeff人\u00ad口",
    "supplementary planes": "𠀋𡈽𡌛𡑮𡢽𠮟𡚴𡸴𣇄𣗄𣜿𣝣𣳾𤟱𥒎𥔎𥝱𥧄𥶡𦫿𦹀𧃴𧚄𨉷𨏍𪆐𠂉𠂢𰻞𱁬𲎯",
    "variants": "葛\U000e0100城、葛\U000e0101飾、辻\U000e0100、邊\U000e0102",
    "forms of full width": "１２３ＡＢｃ！？（）［］｛｝～￥％＆＠㍿㌔①Ⅳ㈱ｶﾞｷﾞﾊﾟ",
    "composed": "がぎぐげごパピプペポ é ñ ẛ̣ 가",
    "decomposed": unicodedata.normalize("NFD", "がぎぐげごパピプペポ é ñ ẛ̣ 가"),
    "bytes": "".join(map(chr, (*range(0x20), *range(0x7F, 0x100), 0x378, 0x1EFF, 0xFFF9, 0xFFFE, 0x1F9FF, 0x10FFFE))),
    "scripts that nobody wrote": "ꙮ𒀀𓂀ᚠ᠐ᰀ꧁𝔄𝟘🂡",
    "one character": "あ" * 20_000 + "ー" * 20_000 + "。" * 20_000 + "w" * 20_000 + "0" * 20_000,
    "one space": " " * 50_000,
    "one line end": "\n" * 50_000,
}
SPECIAL_TEXTS = ["<s>", "</s>です", "<unk>", "<MASK>", "a<MASK|LLM-jp>b", "<PAD|LLM-jp>", "x<MASK|anaume> y"]


@cache
def plain(folder: Path) -> tokenizers.Tokenizer:
    """The folder's tokenizer.json in `tokenizers`, told not to look for special tokens in a text."""
    engine = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    engine.encode_special_tokens = True
    return engine


@cache
def hugging_face(folder: Path) -> Any:
    """The tokenizer that users of the folder get."""
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(params=["paper", "trained"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    found: Tokenizer = request.getfixturevalue(request.param)
    return found


def test_papers_tokenizer(paper: Tokenizer) -> None:
    auto = hugging_face(paper.folder)
    assert auto("こんにちは")["input_ids"] == [5, 39801, 6]
    assert len(auto) == paper.vocab_size == 99_574
    assert auto.tokenize("a", "b", add_special_tokens=True) == [
        "<CLS|LLM-jp>", "▁a", "<SEP|LLM-jp>", "▁b", "<SEP|LLM-jp>"
    ]  # fmt: skip
    assert (paper.mask_id, paper.pad_id, paper.cls_id, paper.sep_id, paper.unk_id) == (3, 4, 5, 6, 0)
    assert paper.special_ids == tuple(range(8))


def test_auto_tokenizer_opens_the_folder(tokenizer: Tokenizer) -> None:
    auto = hugging_face(tokenizer.folder)
    assert set(auto("東京", "大阪")) == {"input_ids", "attention_mask"}
    assert auto.model_max_length == 8192
    assert len(auto) == tokenizer.vocab_size
    ids = (auto.mask_token_id, auto.pad_token_id, auto.cls_token_id, auto.sep_token_id, auto.unk_token_id)
    assert ids == (tokenizer.mask_id, tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.unk_id)
    padded = auto(["東京", "東京都の人口"], padding=True)["input_ids"]
    assert padded[0][-1] == tokenizer.pad_id


def test_nothing_comes_between_a_mask_and_what_follows(tokenizer: Tokenizer) -> None:
    auto = hugging_face(tokenizer.folder)
    mask = auto.mask_token
    assert "".join(auto.tokenize(f"東京{mask}の人口")) == f"▁東京{mask}の人口"
    assert "".join(auto.tokenize(f"{mask}の人口")) == f"{mask}の人口"
    assert "".join(auto.tokenize(f"東京{mask} の人口")) == f"▁東京{mask}▁の人口"


@pytest.mark.parametrize("name", AWKWARD)
def test_all_engines_agree_on_awkward_strings(tokenizer: Tokenizer, name: str) -> None:
    text = AWKWARD[name]
    assert tokenizer.engine == "sentencepiece"
    (ids,) = tokenizer.encode([text])
    assert ids.dtype == np.uint32
    assert plain(tokenizer.folder).encode(text, add_special_tokens=False).ids == ids.tolist()
    assert not set(ids.tolist()) & set(tokenizer.special_ids)
    auto = hugging_face(tokenizer.folder)
    assert auto(text, verbose=False)["input_ids"] == [tokenizer.cls_id, *ids.tolist(), tokenizer.sep_id]
    assert auto.decode([tokenizer.cls_id, *ids.tolist()], skip_special_tokens=True) == text.replace("▁", " ")


@pytest.mark.parametrize("text", SPECIAL_TEXTS)
def test_raw_text_never_becomes_a_special_id(tokenizer: Tokenizer, text: str) -> None:
    (ids,) = tokenizer.encode([text])
    assert not set(ids.tolist()) & set(tokenizer.special_ids)
    auto = hugging_face(tokenizer.folder)
    assert auto.decode(ids.tolist()) == text
    assert auto(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] == ids.tolist()


def test_engines_agree_on_real_text(paper: Tokenizer, shared_data: Path) -> None:
    files = sorted((shared_data / "corpus" / "validation").glob("*.jsonl.gz"))
    lines = [line for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]
    texts = [json.loads(line)["text"] for line in lines]
    engine = plain(paper.folder)
    assert len(texts) == 146
    for text, ids in zip(texts, paper.encode(texts), strict=True):
        assert engine.encode(text, add_special_tokens=False).ids == ids.tolist()


def test_engines_agree_on_every_eighth_document_of_the_training_corpus(paper: Tokenizer, shared_data: Path) -> None:
    """All of them take `tokenizers` half a minute."""
    source = Source.model_validate({"path": str(shared_data / "corpus" / "train" / "*.jsonl.gz")})
    texts = [document.text for document in islice(documents(source), 0, None, 8)]
    assert len(texts) == 1291
    for begin in range(0, len(texts), 100):
        batch = texts[begin : begin + 100]
        found = plain(paper.folder).encode_batch_fast(batch, add_special_tokens=False)
        for wanted, ids in zip(found, paper.encode(batch), strict=True):
            assert wanted.ids == ids.tolist()


def test_texts_are_encoded_alike_alone_and_together(tokenizer: Tokenizer) -> None:
    texts = list(AWKWARD.values())
    together = tokenizer.encode(texts)
    for text, ids in zip(texts, together, strict=True):
        np.testing.assert_array_equal(tokenizer.encode([text])[0], ids)
    assert tokenizer.encode([]) == []


def test_composed_and_decomposed_characters_stay_apart(tokenizer: Tokenizer) -> None:
    composed, decomposed = tokenizer.encode([AWKWARD["composed"], AWKWARD["decomposed"]])
    assert composed.tolist() != decomposed.tolist()


def test_what_no_piece_has_becomes_bytes(paper: Tokenizer) -> None:
    text = "ꙮ𒀀\U0010fffe"
    (ids,) = paper.encode([text])
    assert bytes(int(i) - 8 for i in ids[1:]) == text.encode()  # ids 8 to 263 are the bytes; the first is the prefix


def test_engines_agree_on_the_corpus_trained_on(trained: Tokenizer, corpus: Source) -> None:
    texts = [document.text for document in documents(corpus)]
    engine = plain(trained.folder)
    for text, ids in zip(texts, trained.encode(texts), strict=True):
        assert engine.encode(text, add_special_tokens=False).ids == ids.tolist()


def test_cuts_lose_nothing_and_split_no_pair() -> None:
    text = "あいう" * 300
    assert unigram.cut(text, frozenset({"あい", "いう", "うあ"})) == [text]
    cuts = unigram.cut(text, frozenset({"あい", "うあ"}))
    assert "".join(cuts) == text
    assert all(cut.endswith("い") for cut in cuts[:-1])
    assert {len(cut) for cut in cuts[:-1]} == {194, 192}
    assert unigram.cut("", frozenset()) == [""]


def test_layout_of_a_trained_vocabulary(trained: Tokenizer) -> None:
    engine = plain(trained.folder)
    first = [engine.id_to_token(i) for i in range(10)]
    assert first == [
        "<unk>", "<s>", "</s>", "<MASK|anaume>", "<PAD|anaume>", "<CLS|anaume>", "<SEP|anaume>", "<EOD|anaume>",
        "<0x00>", "<0x01>",
    ]  # fmt: skip
    assert trained.vocab_size == 560
    assert trained.special_ids == tuple(range(8))
    pieces = [engine.id_to_token(int(i)) for i in trained.encode(["東京都の人口について述べる。1945年"])[0]]
    assert pieces[0] == "▁"
    assert "▁東" not in pieces  # words are learnt without the mark of a text's start
    assert "京都" in pieces
    assert pieces[-5:] == ["1", "9", "4", "5", "年"]


def test_training_is_deterministic(trained: Tokenizer, corpus: Source, tmp_path: Path) -> None:
    train_tokenizer([corpus], 560, tmp_path / "again")
    for file in trained.folder.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()
    assert load_tokenizer(tmp_path / "again").vocabulary_hash == trained.vocabulary_hash


def test_training_reads_all_files_of_a_source(tmp_path: Path) -> None:
    for name, letters in (("a", "あいうえおかきくけこ"), ("b", "さしすせそたちつてと")):
        rows = [{"text": letters[i % 10 :] + letters[: i % 7]} for i in range(3000)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Source.model_validate({"path": f"{tmp_path}/*.jsonl"})
    train_tokenizer([source], 400, tmp_path / "out", max_characters=10_000)
    assert len(load_tokenizer(tmp_path / "out").encode(["さしすせそたちつてと"])[0]) <= 10  # bytes: 30


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (300, "vocabulary size 300: accepted: at least 364"),
        (380, r"vocabulary size 380: accepted: more than 4\d\d for this corpus"),
    ],
)
def test_vocabulary_sizes_that_the_corpus_does_not_give(
    corpus: Source, tmp_path: Path, size: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train_tokenizer([corpus], size, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_corpus_that_gives_fewer_pieces_says_so(
    corpus: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_tokenizer([corpus], 50_000, tmp_path / "out")
    size = load_tokenizer(tmp_path / "out").vocab_size
    assert 560 < size < 2_000
    assert f"the corpus gives {size:,} pieces, not 50,000" in capsys.readouterr().err


def llm_jp_folder(shared_data: Path, folder: Path) -> Path:
    """A folder as LLM-jp publishes it for its decoders: `<s>` before the text, "▁" by a regular expression."""
    model = shared_data / "tokenizer" / "llm-jp-tokenizer-100k.ver3.0b1.model"
    proto = unigram.read(model.read_bytes(), "")
    vocabulary = [(piece.piece, piece.score) for piece in proto.pieces]
    names = ["<unk>", "<s>", "</s>", *(f"<{n}|LLM-jp>" for n in ("MASK", "PAD", "CLS", "SEP", "EOD"))]
    vocabulary[:8] = [(name, score) for name, (_, score) in zip(names, vocabulary, strict=False)]
    decoder = tokenizers.Tokenizer(models.Unigram(vocabulary, 0, True))
    decoder.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in names])
    decoder.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex(r"(?<!\n)^"), "▁"), normalizers.Replace(Regex(" "), "▁")]
    )
    decoder.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    folder.mkdir()
    decoder.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {f"{n.lower()}_token": f"<{n}|LLM-jp>" for n in ("MASK", "PAD", "CLS", "SEP")}
    config |= {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_a_decoders_folder_gives_the_same_as_its_sentencepiece_model(
    paper: Tokenizer, shared_data: Path, tmp_path: Path
) -> None:
    adapt_tokenizer(str(llm_jp_folder(shared_data, tmp_path / "decoder")), tmp_path / "encoder")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "encoder" / name).read_bytes() == (paper.folder / name).read_bytes()
    found = load_tokenizer(tmp_path / "encoder")
    assert found.engine == "sentencepiece"
    assert found.vocabulary_hash == paper.vocabulary_hash
    texts = list(AWKWARD.values())
    assert [a.tolist() for a in found.encode(texts)] == [b.tolist() for b in paper.encode(texts)]


def test_adapting_an_adapted_folder_changes_nothing(trained: Tokenizer, tmp_path: Path) -> None:
    adapt_tokenizer(str(trained.folder), tmp_path / "again")
    for file in trained.folder.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def bpe_folder(folder: Path, special: list[str], config: dict[str, Any]) -> Path:
    """A byte-level BPE decoder's folder that puts `<s>` before the text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: i for i, piece in enumerate(["<s>", *alphabet, "ab"])}
    decoder = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[("a", "b")]))
    decoder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    decoder.decoder = decoders.ByteLevel()
    decoder.add_special_tokens(["<s>", *special])
    decoder.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A $B", [("<s>", 0)])
    decoder.enable_truncation(2)
    folder.mkdir()
    decoder.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_a_bpe_decoder_with_the_pieces_an_encoder_needs(tmp_path: Path) -> None:
    special = ["[MASK]", "[PAD]", "<|start|>", "<sep>"]
    config = {"cls_token": {"content": "<|start|>"}, "bos_token": "<s>", "model_max_length": 10}
    folder = bpe_folder(tmp_path / "decoder", special, config)
    adapt_tokenizer(str(folder), tmp_path / "encoder")
    auto = hugging_face(tmp_path / "encoder")
    assert auto.tokenize("abc", "d", add_special_tokens=True) == ["<|start|>", "ab", "c", "<sep>", "d", "<sep>"]
    found = load_tokenizer(tmp_path / "encoder")
    assert found.engine == "tokenizers"
    assert found.special_ids == (0, 258, 259, 260, 261)
    (ids,) = found.encode(["ab [MASK]<s>"])
    assert not set(ids.tolist()) & set(found.special_ids)
    assert auto.decode(ids.tolist()) == "ab [MASK]<s>"


def test_an_encoder_keeps_its_way_with_pairs(tmp_path: Path) -> None:
    folder = bpe_folder(tmp_path / "roberta", ["</s>", "<mask>", "<pad>"], {"cls_token": "<s>", "sep_token": "</s>"})
    engine = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    special = [("<s>", 0), ("</s>", 258)]
    engine.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", special)
    engine.no_truncation()
    engine.save(str(folder / "tokenizer.json"))
    adapt_tokenizer(str(folder), tmp_path / "encoder")
    auto = hugging_face(tmp_path / "encoder")
    assert auto.tokenize("ab", "c", add_special_tokens=True) == ["<s>", "ab", "</s>", "</s>", "c", "</s>"]


def test_special_pieces_that_a_model_finds_in_raw_text_are_left_out(tmp_path: Path) -> None:
    names = ["<unk>", "<mask>", "<pad>", "<cls>", "<sep>"]
    vocabulary = [*((name, 0.0) for name in names), *((c, -1.0) for c in "<mask>ab")]
    engine = tokenizers.Tokenizer(models.Unigram(list(dict(vocabulary).items()), 0, False))
    engine.add_special_tokens(names)
    engine.save(str(tmp_path / "tokenizer.json"))
    found = load_tokenizer(tmp_path)
    assert [found.vocab_size, found.unk_id] == [12, None]
    pieces = [engine.id_to_token(int(i)) for i in found.encode(["a<mask>b"])[0]]
    assert pieces == ["a", "b"]


@pytest.mark.parametrize("missing", ["mask", "pad", "cls", "sep"])
def test_a_tokenizer_without_a_needed_token(tmp_path: Path, missing: str) -> None:
    special = [f"<{role}>" for role in ("mask", "pad", "cls", "sep") if role != missing]
    folder = bpe_folder(tmp_path / "decoder", special, {})
    with pytest.raises(UserError, match=f"a tokenizer without a {missing} token; accepted: one with mask"):
        load_tokenizer(folder)
    with pytest.raises(UserError, match=f"a tokenizer without a {missing} token; accepted: one with mask"):
        adapt_tokenizer(str(folder), tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()


def sentencepiece_model(path: Path, **settings: Any) -> Path:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["これは 文です", "別の　文でした", "ＡＢ cd  ef"] * 20),
        model_writer=model,
        hard_vocab_limit=False,
        minloglevel=2,
        **{"vocab_size": 320, "byte_fallback": True, **settings},
    )
    path.write_bytes(model.getvalue())
    return path


def test_a_model_that_normalises_is_left_to_tokenizers(tmp_path: Path) -> None:
    special = ["[MASK]", "[PAD]", "[CLS]", "[SEP]"]
    model = sentencepiece_model(tmp_path / "a.model", user_defined_symbols=[*special, "\n"])
    adapt_tokenizer(str(model), tmp_path / "out")
    found = load_tokenizer(tmp_path / "out")
    assert found.engine == "tokenizers"
    engine = plain(found.folder)
    pieces = [engine.id_to_token(int(i)) for i in found.encode(["ＡＢ　これは\n別の   文"])[0]]
    assert "".join(map(str, pieces)) == "▁AB▁これは\n別の▁文"
    assert not set(found.encode(["[MASK]"])[0].tolist()) & set(found.special_ids)


def test_sources_that_are_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "text.model").write_bytes("これは模型ではない".encode())
    (tmp_path / "empty").mkdir()
    bpe = sentencepiece_model(tmp_path / "bpe.model", model_type="bpe")
    plain_model = sentencepiece_model(tmp_path / "plain.model")
    for source, message in {
        tmp_path / "text.model": "not a SentencePiece model; accepted: a .model file",
        bpe: "a SentencePiece model of type BPE; accepted: UNIGRAM",
        plain_model: "a tokenizer without a mask and a pad and a cls and a sep token",
        tmp_path / "empty": "no tokenizer.json in it",
        tmp_path / "nowhere" / "at" / "all": "no such folder; accepted: a SentencePiece .model file",
    }.items():
        with pytest.raises(UserError, match=message) as error:
            adapt_tokenizer(str(source), tmp_path / "out")
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"no tokenizer\.json in it"):
        load_tokenizer(tmp_path / "empty")


def test_hub_ids(trained: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repository: str, **_: Any) -> str:
        asked.append(repository)
        if repository != "some/tokenizer":
            raise OSError("not reachable\nmore")
        return str(trained.folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert load_tokenizer("some/tokenizer").vocabulary_hash == trained.vocabulary_hash
    adapt_tokenizer("some/tokenizer", tmp_path / "out")
    assert load_tokenizer(tmp_path / "out").vocabulary_hash == trained.vocabulary_hash
    with pytest.raises(UserError, match="other/one: no such folder, and not to be had from the Hub: not reach"):
        load_tokenizer("other/one")
    assert asked == ["some/tokenizer", "some/tokenizer", "other/one"]


def test_a_folder_with_other_things_is_not_written_over(trained: Tokenizer, corpus: Source, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match=r"holds model\.safetensors; accepted: a new folder"):
        adapt_tokenizer(str(trained.folder), tmp_path)
    with pytest.raises(UserError, match=r"holds model\.safetensors; accepted: a new folder"):
        train_tokenizer([corpus], 560, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_sentencepiece_model_of_another_tokenizer_is_refused(trained: Tokenizer, tmp_path: Path) -> None:
    for file in trained.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    sentencepiece_model(tmp_path / "sentencepiece.model")
    with pytest.raises(UserError, match=r"its pieces are not those of tokenizer\.json"):
        load_tokenizer(tmp_path)


def test_heavy_libraries_are_not_imported() -> None:
    heavy = ("torch", "transformers", "datasets", "pyarrow", "fsspec", "datatrove", "ray")
    code = f"import sys, anaume.tokens.build; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_damaged_folder(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{broken")
    with pytest.raises(UserError, match=r"tokenizer\.json: not a tokenizer"):
        load_tokenizer(tmp_path)
