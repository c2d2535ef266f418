"""Splits of a file and of a folder, the choice of the tokenizer's split, scores from logits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from anaume.errors import UserError
from anaume.evals.ner.data import EntityTask, choose_split, encode, hold_out, measure, read_task
from anaume.finetune.examples import Entity, Example

from ...support.models import PLACES, sentences, write_rows


def row(text: str, number: object = None, kind: str = "地名") -> dict[str, Any]:
    """A text whose first two characters are an entity."""
    more = {} if number is None else {"id": number}
    return {**more, "text": text, "entities": [{"start": 0, "end": 2, "type": kind}]}


def test_a_file_is_divided_by_id_and_by_wording(tmp_path: Path) -> None:
    texts = sentences(60)
    rows = [row(text, i // 3) for i, text in enumerate(texts)] + [row(texts[0], 99), row(texts[1])]
    write_rows(tmp_path / "a.jsonl", rows)
    data = read_task(EntityTask(), tmp_path / "a.jsonl")
    train, validation = data.splits["train"], data.splits["validation"]
    assert len(train) + len(validation) == 62
    assert 0.2 <= len(validation) / 62 < 0.3
    for value in ("group", "texts"):
        values = [{getattr(e, value) for e in part} - {""} for part in (train, validation)]
        assert not values[0] & values[1]
    assert data.splits == read_task(EntityTask(), tmp_path / "a.jsonl").splits
    assert data.task.head.names == ("O", "B-地名", "I-地名")
    assert data.task.trains_on("a.jsonl")
    parts = hold_out(EntityTask(), train, 0)
    assert not {e.group for e in parts["train"]} & {e.group for e in parts["held_out"]}
    assert len(parts["held_out"]) >= len(train) / 10


def test_a_folder_has_a_file_for_each_split(tmp_path: Path) -> None:
    """Shards, other spellings, and files that belong to no split."""
    texts = sentences(12)
    (tmp_path / "README.md").write_text("x", encoding="utf-8")
    write_rows(tmp_path / "data" / "train-00000-of-00002.jsonl", [row(t) for t in texts[:3]])
    write_rows(tmp_path / "data" / "train-00001-of-00002.jsonl", [row(t) for t in texts[3:6]])
    (tmp_path / "dev.conll").write_text("東京 B-地名\nは O\n", encoding="utf-8")
    write_rows(tmp_path / "test.jsonl", [row(t) for t in texts[6:8]])
    data = read_task(EntityTask(), tmp_path)
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 6, "validation": 1, "test": 2}
    assert [name for name in data.sha256 if data.task.trains_on(name)] == [
        "train-00000-of-00002.jsonl",
        "train-00001-of-00002.jsonl",
    ]
    assert data.notes == ()
    (tmp_path / "dev.conll").unlink()
    data = read_task(EntityTask(), tmp_path)
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 6, "validation": 2}
    assert data.notes == ("the test split stands in for a validation split",)


def test_a_type_that_training_lacks_is_counted(tmp_path: Path) -> None:
    texts = sentences(8)
    write_rows(tmp_path / "train.jsonl", [row(t) for t in texts[:4]])
    write_rows(tmp_path / "valid.jsonl", [row(t) for t in texts[4:6]] + [row(t, kind="人名") for t in texts[6:]])
    data = read_task(EntityTask(), tmp_path)
    assert data.notes == ("validation: 人名 (2) does not occur in the training split, so none can be found",)
    assert data.task.head.names == ("O", "B-人名", "I-人名", "B-地名", "I-地名")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no files of two splits (it holds nothing); expected train and validation or test"),
        ({"train.jsonl": [row("東京は")]}, "no files of two splits (it holds train.jsonl)"),
        (
            {"train.jsonl": [{"text": "東京", "entities": []}], "dev.jsonl": [row("東京は")]},
            "no entity in the train split (1 texts); expected some",
        ),
        (
            {"train.jsonl": [row("東京は")], "dev.jsonl": [{"text": "東京", "entities": []}]},
            "no entity in the validation split (1 texts)",
        ),
    ],
)
def test_a_mistake_in_a_folder(files: dict[str, list[dict[str, Any]]], message: str, tmp_path: Path) -> None:
    for name, rows in files.items():
        write_rows(tmp_path / name, rows)
    with pytest.raises(UserError) as error:
        read_task(EntityTask(), tmp_path)
    assert message in str(error.value)


def test_too_few_to_hold_out() -> None:
    same = tuple(Example((text,), group="1") for text in sentences(5))
    with pytest.raises(UserError, match="ner: 5 texts: too few to hold out a tenth"):
        hold_out(EntityTask(), same, 0)


def test_auto_splits_no_finer_than_the_ceiling_asks_for(unigram: Callable[[str], PreTrainedTokenizerFast]) -> None:
    """The pieces are the two kanji of a place, である and single characters."""
    tokenizer = unigram("never")
    task = EntityTask(types=("地名",))

    def chosen(start: int, end: int, *, split: str = "auto") -> tuple[str, float]:
        examples = tuple(Example((f"{place}である",), entities=(Entity(start, end, "地名"),)) for place in PLACES)
        result = choose_split(EntityTask(split, task.types), tokenizer, examples, 48)
        return result.split, result.ceiling

    assert chosen(0, 2) == ("none", 1.0)
    assert chosen(0, 3) == ("kanji", 1.0)  # で is a particle
    assert chosen(0, 1) == ("kanji", 1.0)
    assert chosen(0, 1, split="none") == ("none", 0.0)
    assert chosen(0, 1, split="scripts") == ("scripts", 0.0)


def test_the_line_of_a_ceiling(unigram: Callable[[str], PreTrainedTokenizerFast]) -> None:
    examples = (Example(("東京である" * 20,), entities=(Entity(0, 1, "地名"), Entity(5, 7, "人名"))),)
    result = choose_split(EntityTask("none", ("人名", "地名")), unigram("never"), examples, 24)
    tokens = 40 + 2 * 11  # 24 take [CLS], 22 tokens and [SEP], and neighbours share 11: three windows
    assert result.line == (
        "split none: a perfect tagger returns 50.00% of the entities exactly (地名 0.0%);"
        f" {tokens}.0 tokens a text, 1 texts in windows"
    )


def test_perfect_logits_and_logits_that_are_no_numbers(wordpiece: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", [row(text) for text in sentences(20)])
    data = read_task(EntityTask("none"), tmp_path / "a.jsonl")
    encoded = encode(data.task, wordpiece, data.splits["train"], 24)  # type: ignore[arg-type]
    perfect = [np.eye(3, dtype=np.float32)[[int(max(t, 0)) for t in item.target]] for item in encoded.items]
    scores = measure(data.task, encoded, perfect)  # type: ignore[arg-type]
    assert set(scores.values()) == {1.0}
    assert {"f1", "ceiling", "f1 地名"} < set(scores)
    diverged = measure(data.task, encoded, [np.full_like(each, np.nan) for each in perfect])  # type: ignore[arg-type]
    assert {name: value for name, value in diverged.items() if value} == {"ceiling": 1.0}
    assert list(diverged) == list(scores)
    assert json.dumps(scores)
