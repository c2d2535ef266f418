"""Data sets as the Hub holds them, here in folders: class numbers become names, and labels of any kind are read."""

from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from anaume.errors import UserError
from anaume.evals.labelled.hub import check_data, local_file
from anaume.evals.labelled.read import read_labelled
from anaume.evals.ner.read import read_entities


def write_set(folder: Path, rows: dict[str, list[object]], features: Features) -> str:
    """Write a data set with a training split, and return its name on the command line."""
    (folder / "data").mkdir(parents=True)
    Dataset.from_dict(rows, features=features).to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    return f"hub:{folder}"


def test_numbers_of_classes_become_names(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["bad", "good"])})
    name = write_set(tmp_path / "reviews", {"text": ["良い", "悪い"], "label": [1, 0]}, features)
    check_data(name)
    with local_file(name) as file:
        data = read_labelled(file)
    assert data.head.names == ("bad", "good")
    assert [example.label for example in data.examples] == [1, 0]
    assert not file.exists()


def test_an_absent_label_is_named(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["bad", "good"])})
    name = write_set(tmp_path / "reviews", {"text": ["良い", "悪い"], "label": [1, -1]}, features)
    with local_file(name) as file, pytest.raises(UserError, match=r"reviews.jsonl:2: 'label' is empty"):
        read_labelled(file)


def test_tags_are_entities(tmp_path: Path) -> None:
    tags = List(ClassLabel(names=["O", "B-PLACE", "I-PLACE"]))
    features = Features({"tokens": List(Value("string")), "ner_tags": tags})
    name = write_set(tmp_path / "ner", {"tokens": [["東", "京", "へ"]], "ner_tags": [[1, 2, 0]]}, features)
    with local_file(name) as file:
        (example,) = read_entities(file)
    assert [(entity.start, entity.end, entity.type) for entity in example.entities] == [(0, 2, "PLACE")]


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    features = Features({"sentence1": Value("string"), "sentence2": Value("string"), "score": Value("float32")})
    rows: dict[str, list[object]] = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": [0.5, 2.5]}
    name = write_set(tmp_path / "sts", rows, features)
    with local_file(name) as file:
        data = read_labelled(file)
    assert data.head.kind == "similarity"
    assert [example.label for example in data.examples] == [0.5, 2.5]


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": Value("string")})
    name = write_set(tmp_path / "set", {"text": ["a"], "label": ["x"]}, features)
    with pytest.raises(UserError, match=r"hub:.*:test: "), local_file(f"{name}::test"):
        pass


def test_other_data_stay_where_they_are(tmp_path: Path) -> None:
    with local_file(tmp_path / "a.csv") as file:
        assert file == tmp_path / "a.csv"
    with pytest.raises(UserError, match="no such file; expected CSV or JSON lines"):
        check_data(str(tmp_path / "a.csv"))
