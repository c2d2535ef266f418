"""The built-in corpus: right facts, held-out patterns, and documents that depend on the seed only."""

import itertools
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from anaume.corpus.document import Document
from anaume.corpus.hakoniwa import Split, document, documents, write_corpus
from anaume.corpus.hakoniwa.patterns import Pattern, expand
from anaume.corpus.hakoniwa.topics import NAMES, topic, topics

MEGABYTES = 2.0


@pytest.fixture(scope="module")
def train() -> list[Document]:
    return list(documents("train", MEGABYTES, seed=1))


@pytest.fixture(scope="module")
def validation() -> list[Document]:
    return list(documents("validation", MEGABYTES, seed=1))


def skeleton(pattern: Pattern) -> str:
    """A regular expression for the sentence with anything in its slots."""
    literals = re.split(r"\{[^}]*\}", pattern.template)
    return "[^。、「」『』\n]{1,16}?".join(re.escape(literal) for literal in literals)


# --- the notation of the patterns


def test_a_source_line_becomes_one_pattern_for_each_register_and_choice() -> None:
    patterns = {(pattern.template, pattern.register) for pattern in expand("{県}に(位置/属)[する|します]。")}
    assert patterns == {
        ("{県}に位置する。", "plain"),
        ("{県}に属する。", "plain"),
        ("{県}に位置します。", "polite"),
        ("{県}に属します。", "polite"),
    }


def test_a_question_mark_marks_the_slot_of_a_cloze_question() -> None:
    (plain, _) = expand("{県}の県庁は{?県庁}[である|です]。")
    assert (plain.template, plain.masked) == ("{県}の県庁は{県庁}である。", "県庁")
    assert plain.slots == {"県", "県庁"}


# --- the facts


def test_the_tables_hold_600_to_1000_facts() -> None:
    assert 600 <= sum(len(topic.facts) * len(topic.rows) for topic in topics()) <= 1000


@pytest.mark.parametrize(
    ("name", "key", "column", "value"),
    [
        ("prefectures", "岩手県", "県庁", "盛岡市"),
        ("prefectures", "愛媛県", "地方", "四国地方"),
        ("countries", "オーストラリア", "首都", "キャンベラ"),
        ("countries", "ポーランド", "通貨", "ズウォティ"),
        ("elements", "ナトリウム", "記号", "Na"),
        ("elements", "金", "番号", "79"),
        ("planets", "土星", "順番", "六番目"),
        ("months", "十月", "旧名", "神無月"),
        ("works", "源氏物語", "作者", "紫式部"),
        ("units", "圧力", "単位", "パスカル"),
        ("counters", "箪笥", "助数詞", "棹"),
        ("railways", "九州新幹線", "終点", "鹿児島中央駅"),
        ("animals", "コウモリ", "仲間", "哺乳類"),
        ("sports", "ラグビー", "人数", "十五人"),
    ],
)
def test_facts_are_right(name: str, key: str, column: str, value: str) -> None:
    (row,) = [row for row in topic(name).rows if topic(name).title(row) == key]
    assert row[column] == value


def test_multiplication_is_right() -> None:
    digits = "零一二三四五六七八九"

    def number(text: str) -> int:
        tens, ten, ones = text.rpartition("十")
        return 10 * (digits.index(tens) if tens else bool(ten)) + (digits.index(ones) if ones else 0)

    rows = topic("products").rows
    assert len(rows) == 21
    assert all(number(row["左"]) * number(row["右"]) == number(row["積"]) for row in rows)


@pytest.mark.parametrize("name", NAMES)
def test_a_table_is_complete(name: str) -> None:
    table = topic(name)
    assert len({table.title(row) for row in table.rows}) == len(table.rows)
    assert all(value.strip() == value != "" for row in table.rows for value in row.values())
    assert {*table.groups, *table.exclusive} <= set(table.facts) == set(table.labels)


@pytest.mark.parametrize("name", NAMES)
def test_patterns_fit_their_table(name: str) -> None:
    table = topic(name)
    columns = set(table.rows[0])
    questions = tuple(pattern for pattern, _ in table.questions)
    assert all(p.slots <= columns for p in (*table.train, *table.held_out, *table.theme, *questions))
    assert all(p.slots.issuperset(table.key) and p.slots.intersection(table.facts) for p in table.held_out)
    for fact, register in itertools.product(table.facts, ("plain", "polite")):
        patterns = [p for p in table.train if fact in p.slots and p.register == register]
        assert len(patterns) >= 3, f"{name}: {fact} is stated in {len(patterns)} {register} patterns"


def test_both_directions_occur(train: list[Document]) -> None:
    sentences = {s for row in train for s in re.split("[。\n]", row.text)}
    assert any(re.match("青森市は青森県の", s) for s in sentences)
    assert any(re.match("青森県.*青森市", s) for s in sentences)


# --- the documents


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_document_depends_on_seed_split_and_index_only(split: Split) -> None:
    straight = list(documents(split, 0.3, seed=3))
    assert straight == list(documents(split, 0.3, seed=3))
    assert document(split, 3, len(straight) - 1) == straight[-1]
    assert straight[:40] != list(itertools.islice(documents(split, 0.3, seed=4), 40))


def test_the_size_exceeds_the_limit_by_less_than_a_document(train: list[Document]) -> None:
    sizes = [len(row.text.encode()) for row in train]
    assert sum(sizes[:-1]) < MEGABYTES * 1e6 <= sum(sizes)


def test_no_document_occurs_twice(train: list[Document], validation: list[Document]) -> None:
    texts = [row.text for row in train + validation]
    assert len(set(texts)) == len(texts)


def test_lengths_and_shares(train: list[Document]) -> None:
    lengths = {
        source: sorted(len(row.text) for row in train if row.source == source) for source in ("article", "almanac")
    }
    articles, almanacs = lengths["article"], lengths["almanac"]
    assert articles[0] >= 20
    assert articles[-1] <= 800
    assert articles[len(articles) // 20] >= 50
    assert 100 <= articles[len(articles) // 2] <= 300
    assert almanacs[0] >= 3_000
    assert almanacs[-1] <= 14_000
    assert 0.30 <= sum(almanacs) / (sum(almanacs) + sum(articles)) <= 0.45


def test_no_slot_or_notation_is_left_in_a_text(train: list[Document], validation: list[Document]) -> None:
    assert not [row.text for row in train + validation if re.search(r"[{}\[\]|?/]|。。|、。", row.text)]
    assert all(row.title and row.text.strip() == row.text for row in train + validation)


def test_every_fact_occurs_often(train: list[Document]) -> None:
    text = "\n".join(row.text for row in train)
    rare = [
        (row[fact], text.count(row[fact]))
        for table in topics()
        for row in table.rows
        for fact in table.facts
        if text.count(row[fact]) < 5
    ]
    assert not rare


def test_held_out_patterns_never_occur_in_training(train: list[Document], validation: list[Document]) -> None:
    patterns = [pattern for table in topics() for pattern in table.held_out]
    anything = re.compile("|".join(f"(?:{skeleton(pattern)})" for pattern in patterns))
    # A sentence begins after an end mark, a line break, or a connective.
    sentences = {s + "。" for row in train for s in re.split("[。\n]", row.text)}
    assert [s for s in sentences if anything.fullmatch(s)] == []
    held_out = {s + "。" for row in validation for s in re.split("[。\n]", row.text)}
    seen = Counter(bool(anything.fullmatch(s)) for s in held_out)
    assert seen[True] > 500


def test_every_validation_article_has_a_held_out_sentence(validation: list[Document]) -> None:
    held_out = {pattern.fill(row) for table in topics() for pattern in table.held_out for row in table.rows}
    for row in validation[:400]:
        assert any(s + "。" in held_out for s in re.split("[。\n]", row.text)), row.text


def test_write_corpus_writes_both_splits_as_json_lines(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", 0.3, seed=2)
    read = {
        split: [json.loads(line) for line in (tmp_path / "corpus" / f"{split}.jsonl").read_text("utf-8").splitlines()]
        for split in ("train", "validation")
    }
    assert [row["text"] for row in read["train"]] == [row.text for row in documents("train", 0.3, 2)]
    assert [row["text"] for row in read["validation"]] == [row.text for row in documents("validation", 0.2, 2)]
    assert all(set(row) == {"text", "title", "source"} for rows in read.values() for row in rows)
