"""New words for the text of a domain: which pieces are chosen, and that everything else stays as it was."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as Fast
from transformers import PreTrainedTokenizerFast

from anaume.corpus.source import Source
from anaume.tokenizer.adapt import copy_tokenizer
from anaume.tokenizer.extend.extension import extend_tokenizer
from anaume.tokenizer.extend.merges import Joiner
from anaume.tokenizer.extend.sequences import count_sequences
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokenizer.runs import find_runs
from anaume.tokenizer.train import Kind, train_tokenizer
from anaume.tokenizer.vocabulary import surfaces

from .engines import AWKWARD, bpe_folder, hugging_face, put_template

WORDS = ["特許請求", "明細書", "ゲート電極", "半導体", "かかる", "prior art"]
KINDS = ["unigram", "bpe", "tokens behind the model", "no bytes"]


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Sixty short documents that repeat the words of patents."""
    chance = random.Random(3)
    texts = [
        "、".join(f"{chance.choice(WORDS)}の{chance.choice(WORDS)}は12である" for _ in range(8)) for _ in range(60)
    ]
    file = tmp_path_factory.mktemp("domain") / "patents.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return Source(path=str(file))


@pytest.fixture(scope="module", params=KINDS)
def old(
    request: pytest.FixtureRequest,
    trained: Tokenizer,
    corpus: Source,
    unigram: Callable[[str], PreTrainedTokenizerFast],
    tmp_path_factory: pytest.TempPathFactory,
) -> Tokenizer:
    folder = tmp_path_factory.mktemp("old") / "tokenizer"
    match request.param:
        case "unigram":
            return trained
        case "bpe":
            train_tokenizer([corpus], 480, folder, kind="bpe")
        case "tokens behind the model":
            bpe_folder(folder, ["</s>", "<pad>", "<mask>", "<cls>", "<sep>"], {})
            names = put_template(folder)
            (folder / "tokenizer_config.json").write_text(json.dumps(names))
        case _:
            fast = unigram("first")
            fast.add_tokens(["特別語"])
            fast.save_pretrained(folder)
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def extended(old: Tokenizer, domain: Source, corpus: Source, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    out = tmp_path_factory.mktemp("extended") / "tokenizer"
    extension = extend_tokenizer(str(old.folder), [domain], 40, out, general=[corpus])
    assert 0 < extension.used <= extension.added <= 40
    assert extension.domain.after < 0.8 * extension.domain.before
    assert extension.general is not None
    return load_tokenizer(out)


def test_new_ids_follow_the_old_ones(old: Tokenizer, extended: Tokenizer) -> None:
    assert extended.pieces[: old.vocab_size] == old.pieces
    assert extended.special_ids == old.special_ids
    assert (extended.cls_id, extended.sep_id, extended.mask_id) == (old.cls_id, old.sep_id, old.mask_id)
    assert extended.engine == old.engine
    assert len(set(extended.pieces)) == extended.vocab_size


def test_no_new_piece_leaves_its_run(old: Tokenizer, extended: Tokenizer) -> None:
    for surface in surfaces(extended)[old.vocab_size :]:
        text = surface.decode(errors="ignore")  # Bytes of a single character are no text.
        assert find_runs(text) in ([text], [])
        assert not re.search(r"\d", text)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_new_piece_has_a_space_at_its_beginning_only(kind: Kind, corpus: Source, tmp_path: Path) -> None:
    train_tokenizer([corpus], 480 if kind == "bpe" else 560, tmp_path / "old", kind=kind)
    sentence = "The gate electrode of the semiconductor, the electrode of the gate."
    (tmp_path / "a.txt").write_text(" ".join([sentence] * 20))
    extend_tokenizer(str(tmp_path / "old"), [Source(path=str(tmp_path / "a.txt"))], 60, tmp_path / "new")
    old, extended = load_tokenizer(tmp_path / "old"), load_tokenizer(tmp_path / "new")
    new = surfaces(extended)[old.vocab_size :]
    assert b" electrode" in new
    assert [surface for surface in new if re.search(rb"\S +\S|\S +$", surface)] == []


def test_the_ids_are_those_of_transformers(extended: Tokenizer, domain: Source) -> None:
    patents = json.loads(Path(domain.path).read_text().splitlines()[0])["text"]
    texts = [patents, f"\n{patents} ", *(text[:2000] for text in AWKWARD.values())]
    expected = hugging_face(extended.folder)(texts, add_special_tokens=False)["input_ids"]
    assert [ids.tolist() for ids in extended.encode(texts)] == expected


def test_text_without_new_pieces_keeps_its_ids(old: Tokenizer, extended: Tokenizer) -> None:
    texts = ["東京都の人口を調べた。<mask>", "<unk><s>", "今も 大阪", *(text[:2000] for text in AWKWARD.values())]
    unchanged = 0
    for before, after in zip(old.encode(texts), extended.encode(texts), strict=True):
        if (after < old.vocab_size).all():
            unchanged += 1
            assert before.tolist() == after.tolist()
    assert unchanged > len(texts) / 2


@pytest.mark.parametrize("old", ["bpe", "tokens behind the model"], indirect=True)
def test_old_merges_come_first(old: Tokenizer, extended: Tokenizer) -> None:
    """Cut into the parts that they join, the new pieces of a BPE give the old ids, in any text."""
    model = Fast.from_file(str(old.folder / "tokenizer.json")).model
    text = "半導体のゲート電極、明細書かかる特許 prior art 特許庁の請求"
    cut = [
        part
        for index in extended.encode([text])[0]
        for part in (
            [int(index)]
            if index < old.vocab_size
            else [token.id for token in model.tokenize(extended.pieces[int(index)])]
        )
    ]
    assert cut == old.encode([text])[0].tolist()
    assert len(extended.encode([text])[0]) < len(cut)


def test_the_pair_that_saves_most_is_joined_first() -> None:
    pieces = ["a", "b", "c", "d", "ab"]
    joiner = Joiner({(0, 2, 3): 10, (0, 2): 5, (2, 3): 1, (0, 1): 99}, pieces, lambda _parts, _spelling: True)
    while joiner.step():
        pass
    # a + b is a piece already, and c + d alone occurs once.
    assert joiner.merges.pieces == ["ac", "acd"]
    assert joiner.merges.pairs == {(0, 2): 5, (5, 3): 6}
    assert joiner.merges.parts == {5: (0, 2), 6: (0, 2, 3)}
    assert [joiner.merges.occurrences[index] for index in (5, 6, 0, 2, 3)] == [5, 10, 99, 1, 1]


def test_sequences_end_where_no_piece_may_go_on(trained: Tokenizer) -> None:
    """Runs, digits and line ends separate sequences, and so do unknown characters where no piece may have them."""
    fast = Fast.from_file(str(trained.folder / "tokenizer.json"))
    bytes_ = {index for index, piece in enumerate(trained.pieces) if piece.startswith("<0x")}

    def spelled(unknown: set[int]) -> set[str]:
        counts = count_sequences(["山を12見た\n山𠮷𠮷野 𠮷"], fast, unknown, respect=False)
        return {"".join(chr(-i) if i < 0 else trained.pieces[i] for i in sequence) for sequence in counts}

    assert spelled(set()) == {"を", "た", "山", "▁", "野"}
    assert spelled(bytes_) == {"を", "見", "た", "山", "𠮷𠮷", "野", "▁𠮷"}


@pytest.mark.parametrize("kind", ["wordpiece", "python"])
def test_other_kinds_are_refused_in_one_line(
    kind: str, domain: Source, wordpiece: PreTrainedTokenizerFast, command_line: Callable[..., Any], tmp_path: Path
) -> None:
    wordpiece.save_pretrained(tmp_path / "given")
    if kind == "python":
        pytest.importorskip("fugashi")
        from transformers import BertJapaneseTokenizer

        (tmp_path / "given" / "tokenizer.json").unlink()
        vocabulary = "\n".join(sorted(wordpiece.get_vocab(), key=wordpiece.get_vocab().__getitem__))
        (tmp_path / "given" / "vocab.txt").write_text(vocabulary)
        tokenizer = BertJapaneseTokenizer(tmp_path / "given" / "vocab.txt", subword_tokenizer_type="character")
        tokenizer.save_pretrained(tmp_path / "given")
    end = command_line("tokenizer", "extend", tmp_path / "given", domain.path, "--add", 5, "--out", tmp_path / "out")
    message = {"wordpiece": "of the kind WordPiece are not supported; expected Unigram or BPE", "python": "Python code"}
    assert (end.status, message[kind] in end.err) == (2, True), end
    assert not (tmp_path / "out").exists()


def test_the_verb_prints_tokens_per_character(
    trained: Tokenizer, domain: Source, corpus: Source, command_line: Callable[..., Any], tmp_path: Path
) -> None:
    copy_tokenizer(str(trained.folder), tmp_path / "model")
    words = ["tokenizer", "extend", tmp_path / "model", domain.path, "--add", 10, "--general", corpus.path]
    end = command_line(*words, "--out", tmp_path / "out")
    assert end.status == 0, end.err
    first, *figures = end.out.splitlines()
    assert first == f"{tmp_path / 'out'}: 10 new pieces; the text of CORPUS uses 10 of them"
    pattern = r"(domain|general): tokens per character (\d\.\d{4}) before, (\d\.\d{4}) after \(([-+]\d+\.\d)%\)"
    matches = [re.fullmatch(pattern, line) for line in figures]
    assert [match and match[1] for match in matches] == ["domain", "general"]
