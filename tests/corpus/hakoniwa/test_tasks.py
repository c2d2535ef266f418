"""The evaluation files: right answers, weak lexical cues, JGLUE's file names and fields."""

import json
from collections import Counter
from typing import Any

import pytest
from rapidfuzz.distance import Levenshtein

from anaume.corpus.hakoniwa import documents, write_tasks
from anaume.corpus.hakoniwa.tasks.acceptability import BREAKS, double_particle, wrong_particle
from anaume.corpus.hakoniwa.tasks.cloze import MASK, cloze
from anaume.corpus.hakoniwa.tasks.glue import similarity
from anaume.corpus.hakoniwa.tasks.pairs import ParagraphPair, bigrams, pairs
from anaume.corpus.hakoniwa.tasks.statements import Statement
from anaume.corpus.hakoniwa.topics import topics

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rows]:
    folder = tmp_path_factory.mktemp("tasks")
    write_tasks(folder, seed=5)
    return {
        str(path.relative_to(folder)): [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for path in folder.rglob("*.json*")
    }


@pytest.fixture(scope="module")
def true_sentences() -> set[str]:
    """Every held-out sentence about every row."""
    return {pattern.fill(row) for topic in topics() for pattern in topic.held_out for row in topic.rows}


# --- cloze


def test_a_cloze_text_is_a_true_sentence_with_one_word_left_out(
    tasks: dict[str, Rows], true_sentences: set[str]
) -> None:
    questions = tasks["cloze.jsonl"]
    assert 300 <= len(questions) <= 600
    assert len({q["text"] for q in questions}) == len(questions)
    for question in questions:
        assert set(question) == {"text", "answers", "topic"}
        assert question["text"].count(MASK) == 1
        assert 1 <= len(question["answers"]) <= 3
        assert all(question["text"].replace(MASK, answer) in true_sentences for answer in question["answers"])


def test_all_right_answers_are_listed(tasks: dict[str, Rows], true_sentences: set[str]) -> None:
    values = {value for topic in topics() for row in topic.rows for value in row.values()}
    for question in tasks["cloze.jsonl"][::7]:
        right = {value for value in values if question["text"].replace(MASK, value) in true_sentences}
        assert right == set(question["answers"])


def test_cloze_asks_about_every_topic_and_depends_on_the_seed() -> None:
    assert {question.topic for question in cloze(1)} == {topic.label for topic in topics()}
    assert cloze(1) == cloze(1) != cloze(2)


def test_cloze_answers_occur_in_training_and_its_sentences_do_not(tasks: dict[str, Rows]) -> None:
    text = "\n".join(document.text for document in documents("train", 1.0, 5))
    for question in tasks["cloze.jsonl"]:
        assert all(answer in text for answer in question["answers"])
        assert question["text"].replace(MASK, question["answers"][0]) not in text


# --- pairs


def lexical_recall(candidates: list[ParagraphPair], at: int, similar: Any) -> float:
    """Share of queries whose positive is among the `at` most similar; half of the ties rank before it."""
    hits = 0
    for pair in candidates:
        scores = [similar(pair.query, other.positive) for other in candidates]
        own = similar(pair.query, pair.positive)
        hits += sum(score > own for score in scores) + (sum(score == own for score in scores) - 1) / 2 < at
    return hits / len(candidates)


def jaccard(a: str, b: str) -> float:
    return len(bigrams(a) & bigrams(b)) / len(bigrams(a) | bigrams(b))


def test_pairs_are_at_least_200_and_about_different_rows(tasks: dict[str, Rows]) -> None:
    rows = tasks["pairs.jsonl"]
    assert len(rows) >= 200
    for field in ("query", "positive", "title"):
        assert len({row[field] for row in rows}) == len(rows)


def test_lexical_baselines_do_poorly() -> None:
    candidates = pairs(0)
    assert lexical_recall(candidates, 10, jaccard) < 0.15
    assert lexical_recall(candidates, 10, lambda a, b: -Levenshtein.normalized_distance(a, b)) < 0.20


def test_a_query_does_not_name_the_row() -> None:
    named = [pair for pair in pairs(0) if pair.title in pair.query]
    assert len(named) <= 2, named  # メキシコシティ, 水球帽


# --- miniature JGLUE


PAIR_FIELDS = ["sentence_pair_id", "yjcaptions_id", "sentence1", "sentence2", "label"]


@pytest.mark.parametrize("task", ["jsts-v1.3", "jnli-v1.3"])
def test_sentence_pairs_have_the_fields_of_jglue_and_disjoint_splits(tasks: dict[str, Rows], task: str) -> None:
    train, valid = tasks[f"{task}/train-v1.3.json"], tasks[f"{task}/valid-v1.3.json"]
    assert (len(train), len(valid)) == (1200, 300)
    assert all(list(row) == PAIR_FIELDS for row in train + valid)
    sentences = [{row[field] for row in rows for field in PAIR_FIELDS[2:4]} for rows in (train, valid)]
    assert not sentences[0] & sentences[1]
    assert all(row["sentence1"] != row["sentence2"] for row in train + valid)


def test_jsts_labels_cover_the_scale(tasks: dict[str, Rows]) -> None:
    labels = [row["label"] for row in tasks["jsts-v1.3/train-v1.3.json"]]
    assert min(labels) == 0.0
    assert max(labels) == 5.0
    assert max(Counter(labels).values()) < 0.4 * len(labels)


@pytest.mark.parametrize(
    ("first", "second", "score"),
    [
        ((0, 1, "ab"), (0, 1, "ab"), 5.0),  # the same facts
        ((0, 1, "a"), (0, 1, "ab"), 5 * 5 / 8),  # one fact more
        ((0, 1, "a"), (0, 1, "b"), 5 * 2 / 8),  # the same row
        ((0, 1, "a"), (0, 2, "a"), 5 * 1 / 9),  # the same topic
        ((0, 1, "a"), (3, 1, "a"), 0.0),
    ],
)
def test_similarity_counts_shared_facts(
    first: tuple[int, int, str], second: tuple[int, int, str], score: float
) -> None:
    statements = [Statement("", topic, row, frozenset(columns)) for topic, row, columns in (first, second)]
    assert similarity(*statements) == pytest.approx(score)


def test_jnli_labels_follow_from_the_facts(tasks: dict[str, Rows], true_sentences: set[str]) -> None:
    rows = tasks["jnli-v1.3/train-v1.3.json"] + tasks["jnli-v1.3/valid-v1.3.json"]
    counts = Counter(row["label"] for row in rows)
    assert set(counts) == {"entailment", "contradiction", "neutral"}
    assert min(counts.values()) > 0.2 * len(rows)
    for row in rows:
        assert all(s + "。" in true_sentences for s in row["sentence1"].split("。")[:-1])
        assert (row["sentence2"] in true_sentences) == (row["label"] != "contradiction")


def test_jcola_breaks_the_sentences_that_it_labels_unacceptable(
    tasks: dict[str, Rows], true_sentences: set[str]
) -> None:
    names = ("in_domain_train", "in_domain_valid", "out_of_domain_valid")
    splits = [tasks[f"jcola-v1.0/{name}-v1.0.json"] for name in names]
    fields = ["uid", "source", "label", "diacritic", "sentence", "original"]
    for row in (row for rows in splits for row in rows):
        assert list(row) == fields
        assert (row["sentence"] in true_sentences) == (row["label"] == 1)
        assert row["diacritic"] == ("g" if row["label"] else "*")
        assert row["original"] in true_sentences
    train, valid, out_of_domain = ({row["sentence"] for row in rows} for rows in splits)
    assert not train & valid
    assert not (train | valid) & out_of_domain
    assert all(0.3 < sum(row["label"] for row in rows) / len(rows) < 0.7 for rows in splits)


def test_breaks_change_every_sentence_they_apply_to() -> None:
    assert wrong_particle("{県}の名産は{名産}である。") == "{県}を名産は{名産}である。"
    assert double_particle("{県}は{地方}にある。") == "{県}がは{地方}にある。"
    templates = [pattern.template for topic in topics() for pattern in topic.held_out]
    assert all(any(broken(template) != template for broken in BREAKS) for template in templates)
