"""Tokenizer folders and models of several kinds, and awkward strings, for the tokenizer tests."""

import io
import json
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

from anaume.tokenizer import unigram

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


@cache
def plain(folder: Path) -> tokenizers.Tokenizer:
    """Return the folder's tokenizer.json in `tokenizers`, reading special tokens in a text as ordinary characters."""
    engine = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    engine.encode_special_tokens = True
    return engine


@cache
def hugging_face(folder: Path) -> Any:
    """Return the folder's tokenizer as `AutoTokenizer` opens it."""
    return AutoTokenizer.from_pretrained(folder)


def bpe_folder(folder: Path, special: list[str], config: dict[str, Any]) -> Path:
    """Write the folder of a byte-level BPE decoder, which puts `<s>` before the text."""
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


def sentencepiece_model(path: Path, **settings: Any) -> Path:
    """Train a small SentencePiece model into `path`; `settings` override those of the trainer."""
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


def llm_jp_folder(shared_data: Path, folder: Path) -> Path:
    """Write a folder like LLM-jp's for decoders: `<s>` before the text, "▁" by a regular expression."""
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


def put_template(folder: Path) -> dict[str, str]:
    """Let a `bpe_folder` put `<s> … </s>` around a text; return names of special tokens that say otherwise."""
    engine = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    engine.no_truncation()
    engine.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", "<s> $A </s> $B </s>", [("<s>", 0), ("</s>", 258)]
    )
    engine.save(str(folder / "tokenizer.json"))
    return {"cls_token": "<cls>", "sep_token": "<sep>", "mask_token": "<mask>", "pad_token": "<pad>"}
