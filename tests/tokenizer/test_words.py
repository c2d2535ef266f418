"""Languages with spaces: pieces within words, a mask that takes its space with it, both kinds of vocabulary."""

import json
import random
import re
from pathlib import Path

import pytest
import tokenizers

from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.tokenizer.load import load_tokenizer
from anaume.tokenizer.runs import find_words, separates_words, spaced_share
from anaume.tokenizer.train import Kind, train_tokenizer
from anaume.tokenizer.vocabulary import surfaces

from .engines import AWKWARD, hugging_face, plain

CITIES = {"France": "Paris", "Japan": "Tokyo", "Spain": "Madrid", "Italy": "Rome", "Norway": "Oslo", "Peru": "Lima"}


def sentences(count: int) -> list[str]:
    chance = random.Random(0)
    forms = [
        "The capital of {land} is {city}.",
        "{city} is the capital of {land}, and it's large.",
        "We saw ({city}) in {land} in 1945.",
    ]
    pairs = list(CITIES.items())
    return [
        chance.choice(forms).format(land=land, city=city) for land, city in (chance.choice(pairs) for _ in range(count))
    ]


@pytest.fixture(scope="session")
def english(tmp_path_factory: pytest.TempPathFactory) -> Source:
    file = tmp_path_factory.mktemp("english") / "text.jsonl"
    texts = [" ".join(sentences(400)[i : i + 8]) for i in range(0, 400, 8)]
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return Source.model_validate({"path": str(file)})


@pytest.fixture(scope="session", params=["unigram", "bpe"])
def trained_on_english(
    request: pytest.FixtureRequest, english: Source, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    kind: Kind = request.param
    folder = tmp_path_factory.mktemp("english") / kind
    train_tokenizer([english], 480, folder, kind=kind)
    return folder


def test_no_piece_spans_a_space_between_words(trained_on_english: Path) -> None:
    tokenizer = load_tokenizer(trained_on_english)
    spaced = [surface for surface in surfaces(tokenizer) if re.search(rb"\S +\S|\S +$", surface)]
    assert spaced == []
    assert {b" capital", b" the", b" Paris"} <= set(surfaces(tokenizer))


def test_a_hidden_word_reads_like_training_text(trained_on_english: Path) -> None:
    """What pretraining shows: the ids of a sentence with one of them replaced by the mask."""
    tokenizer, auto = load_tokenizer(trained_on_english), hugging_face(trained_on_english)
    texts = surfaces(tokenizer)
    hidden_words = 0
    for sentence in sentences(100):
        (ids,) = tokenizer.encode([sentence])
        for place, index in enumerate(ids):
            word = texts[index].decode().strip()
            if not word.isalpha() or len(word) < 3:
                continue
            before = b"".join(texts[i] for i in ids[: place + 1]).decode().removesuffix(word)
            after = b"".join(texts[i] for i in ids[place + 1 :]).decode()
            if before[-1:].isalpha() or after[:1].isalpha():
                continue  # a part of a word
            masked = [tokenizer.cls_id, *ids.tolist(), tokenizer.sep_id]
            masked[place + 1] = tokenizer.mask_id
            # A Unigram's joined surfaces begin with the dummy prefix.
            text = before + auto.mask_token + after
            shown = text if tokenizer.engine == "tokenizers" else text.removeprefix(" ")
            assert auto(shown)["input_ids"] == masked
            hidden_words += 1
    assert hidden_words > 300


@pytest.mark.parametrize("name", AWKWARD)
def test_training_text_and_auto_tokenizer_see_the_same_ids(trained_on_english: Path, name: str) -> None:
    tokenizer, auto = load_tokenizer(trained_on_english), hugging_face(trained_on_english)
    (ids,) = tokenizer.encode([AWKWARD[name]])
    assert auto(AWKWARD[name], verbose=False)["input_ids"] == [tokenizer.cls_id, *ids.tolist(), tokenizer.sep_id]
    texts = surfaces(tokenizer)
    assert b"".join(texts[i] for i in ids).decode().removeprefix(" ") == AWKWARD[name].replace(
        "▁", "▁" if tokenizer.engine == "tokenizers" else " "
    ).removeprefix(" " if tokenizer.engine == "tokenizers" else "")


def test_the_text_decides_and_an_option_overrules(
    english: Source, corpus: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_tokenizer([corpus], 560, tmp_path / "japanese")
    assert "so pieces may span a space between words" in capsys.readouterr().err
    train_tokenizer([english], 480, tmp_path / "words")
    assert "so no piece spans a space between words" in capsys.readouterr().err
    train_tokenizer([english], 480, tmp_path / "ignored", words="ignore")
    assert "space between words" not in capsys.readouterr().err
    assert b"capital of" in b"|".join(surfaces(load_tokenizer(tmp_path / "ignored")))
    japanese, words = plain(tmp_path / "japanese"), plain(tmp_path / "words")
    assert [mask_of(engine).lstrip for engine in (japanese, words)] == [False, True]


def mask_of(engine: tokenizers.Tokenizer) -> tokenizers.AddedToken:
    return next(token for token in engine.get_added_tokens_decoder().values() if "MASK" in token.content)


@pytest.mark.parametrize(
    ("text", "spaced"),
    [
        ("Die Größe der Häuser ist in den meisten Städten gleich.", True),
        ("한국어는 한국에서 사용되는 언어이다. 서울은 대한민국의 수도이다", True),
        ("Suomen pääkaupunki on Helsinki. Ihmiset asuvat kaupungeissa ja maaseudulla.", True),
        ("吾輩は猫である。 名前はまだ無い。Python を使う。", False),
        ("北京是中华人民共和国的首都。", False),
        ("12 34", False),
    ],
)
def test_languages_with_spaces(text: str, spaced: bool) -> None:
    assert separates_words(spaced_share(text)) is spaced


def test_runs_of_words() -> None:
    assert find_words("It's  (Paris), 東京タワーへ") == [
        "It",
        "'",
        "s",
        " ",
        " (",
        "Paris",
        "),",
        " ",
        "東京タワー",
        "へ",
    ]


def test_byte_level_bpe_is_deterministic_and_needs_its_bytes(english: Source, tmp_path: Path) -> None:
    for name in "ab":
        train_tokenizer([english], 400, tmp_path / name, kind="bpe")
    assert (tmp_path / "a" / "tokenizer.json").read_bytes() == (tmp_path / "b" / "tokenizer.json").read_bytes()
    assert load_tokenizer(tmp_path / "a").special_ids == (0, 1, 2, 3, 4)
    with pytest.raises(UserError, match="vocabulary size 260: too small; expected at least 261"):
        train_tokenizer([english], 260, tmp_path / "c", kind="bpe")
