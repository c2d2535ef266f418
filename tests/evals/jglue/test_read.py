"""Files of JGLUE and JCoLA → examples: every task, both layouts, rows and files that are wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from anaume.errors import UserError
from anaume.evals.jglue.read import read_task
from anaume.evals.jglue.tasks import TASKS, tasks_in
from anaume.finetune.examples import Answer, Example


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def change(path: Path, number: int, **fields: Any) -> None:
    """Write new fields into a row of JSON lines; a field given as None is taken out."""
    rows = rows_of(path)
    rows[number] = {key: value for key, value in {**rows[number], **fields}.items() if value is not None}
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def test_every_task_is_read_as_written(jglue_folder: Path) -> None:
    assert [task.name for task in tasks_in(jglue_folder)] == list(TASKS)
    splits_of = {name: read_task(task, jglue_folder).splits for name, task in TASKS.items()}
    sizes = {name: {split: len(examples) for split, examples in splits.items()} for name, splits in splits_of.items()}
    three = {"train": 80, "validation": 30, "test": 30}
    assert sizes["jsts"] == sizes["jnli"] == sizes["jcommonsenseqa"] == three
    assert sizes["jcola"] == {"train": 80, "validation": 30, "out_of_domain": 30}
    assert sizes["jsquad"] == {"train": 160, "validation": 60, "test": 60}
    assert sizes["marc-ja"] == {"train": 80, "validation": 30}

    row = rows_of(jglue_folder / "jsts-v1.3" / "valid-v1.3.json")[3]
    assert splits_of["jsts"]["validation"][3] == Example((row["sentence1"], row["sentence2"]), 0.6)
    assert [example.label for example in splits_of["jnli"]["train"][:4]] == [0, 1, 2, 0]  # in the order of the alphabet
    assert [example.label for example in splits_of["marc-ja"]["train"][:2]] == [0, 1]
    assert splits_of["jcommonsenseqa"]["train"][7].texts[1:] == ("神戸", "福岡", "那覇", "東京", "京都")
    assert splits_of["jcommonsenseqa"]["train"][7].label == 2
    first, second = splits_of["jsquad"]["train"][:2]
    assert first.texts[1] == second.texts[1]
    assert first.answers == (Answer(first.texts[1][:2], 0),)
    assert first.group == second.group != splits_of["jsquad"]["train"][2].group


@pytest.mark.parametrize(("task", "layout"), [("jsts", "datasets"), ("jcola", "data")])
def test_the_repositories_own_layout(task: str, layout: str, jglue_folder: Path) -> None:
    (jglue_folder / layout).mkdir()
    (jglue_folder / TASKS[task].folder).rename(jglue_folder / layout / TASKS[task].folder)
    assert len(read_task(TASKS[task], jglue_folder).splits["train"]) == 80


@pytest.mark.parametrize(
    ("task", "file", "row", "fields", "message"),
    [
        ("jsts", "train", 4, {"label": 5.2}, ":5: `label` is 5.2; expected a number from 0 to 5"),
        ("jsts", "valid", 0, {"label": "3"}, ":1: `label` is '3'; expected a number from 0 to 5"),
        ("jsts", "valid", 0, {"label": None}, ":1: no `label`"),
        ("jsts", "train", 9, {"sentence2": " "}, ":10: `sentence2` is ' '; expected a text that is not empty"),
        (
            "jnli",
            "train",
            2,
            {"label": "yes"},
            ":3: `label` is 'yes'; expected one of contradiction, entailment, neutral",
        ),
        ("jnli", "train", 2, {"sentence1": None}, ":3: no `sentence1`"),
        ("jcola", "in_domain_valid", 1, {"label": 2}, ":2: `label` is 2; expected one of 0, 1"),
        ("jcola", "in_domain_valid", 1, {"label": True}, ":2: `label` is True; expected one of 0, 1"),
        ("jcommonsenseqa", "train", 0, {"label": 5}, ":1: `label` is 5; expected one of 0, 1, 2, 3, 4"),
        ("jcommonsenseqa", "train", 0, {"choice4": None}, ":1: no `choice4`"),
    ],
)
def test_a_wrong_row(task: str, file: str, row: int, fields: dict[str, Any], message: str, jglue_folder: Path) -> None:
    folder = jglue_folder / TASKS[task].folder
    path = folder / f"{file}-{folder.name.rsplit('-', 1)[1]}.json"
    change(path, row, **fields)
    with pytest.raises(UserError) as error:
        read_task(TASKS[task], jglue_folder)
    assert str(error.value).startswith(f"{path}{message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answers": [{"text": "東京", "answer_start": 1}]}, "answer_start 1: the context has no '東京' there"),
        ({"answers": [{"text": "東京", "answer_start": -1}]}, "answer_start -1: the context has no '東京' there"),
        ({"answers": []}, "no answers; expected at least one"),
        ({"answers": "東京"}, "`answers` is '東京'; expected a list"),
        ({"answers": [{"text": "東京"}]}, "no `answer_start`"),
        ({"question": ""}, "`question` is ''; expected a text that is not empty"),
    ],
)
def test_a_wrong_question(changes: dict[str, Any], message: str, jglue_folder: Path) -> None:
    path = jglue_folder / "jsquad-v1.3" / "valid-v1.3.json"
    question = {"question": "首都は", "id": "q7", "answers": [{"text": "東京", "answer_start": 0}], **changes}
    content = {"data": [{"title": "", "paragraphs": [{"context": "東京は首都である。", "qas": [question]}]}]}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match="article 0, paragraph 0, question q7: ") as error:
        read_task(TASKS["jsquad"], jglue_folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ('{"data": []}', "no questions"),
        ("[]", "no `data`"),
        ('{"data": [3]}', "no `paragraphs`"),
    ],
)
def test_a_file_of_another_form(content: str, message: str, jglue_folder: Path) -> None:
    (jglue_folder / "jsquad-v1.3" / "train-v1.3.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_task(TASKS["jsquad"], jglue_folder)


def test_missing_splits(jglue_folder: Path) -> None:
    (jglue_folder / "jsts-v1.3" / "test-v1.3.json").unlink()
    assert list(read_task(TASKS["jsts"], jglue_folder).splits) == ["train", "validation"]
    (jglue_folder / "jcola-v1.0" / "out_of_domain_valid-v1.0.json").unlink()
    with pytest.raises(
        UserError, match=r"out_of_domain_valid-v1.0.json: no such file; expected the out_of_domain split"
    ):
        read_task(TASKS["jcola"], jglue_folder)
    (jglue_folder / "jsquad-v1.3" / "train-v1.3.json").unlink()
    with pytest.raises(UserError, match=r"train-v1.3.json: no such file; expected the train split of jsquad .--tasks"):
        read_task(TASKS["jsquad"], jglue_folder)


def test_a_test_split_without_labels_is_left_out(jglue_folder: Path) -> None:
    path = jglue_folder / "jnli-v1.3" / "test-v1.3.json"
    for row in range(30):
        change(path, row, label=None)
    data = read_task(TASKS["jnli"], jglue_folder)
    assert "test" not in data.splits
    assert "jnli-v1.3/test-v1.3.json has no labels: not scored" in data.notes


@pytest.mark.parametrize("names", [("sentence1", "sentence2"), ("sentence2", "sentence1")])
def test_a_test_split_that_is_trained_on_is_left_out(names: tuple[str, str], jglue_folder: Path) -> None:
    """One in 30 is too many, in either direction."""
    folder = jglue_folder / "jnli-v1.3"
    change(folder / "test-v1.3.json", 17, sentence1="猫がいる。", sentence2="犬もいる。")
    change(folder / "train-v1.3.json", 50, **dict(zip(names, ("猫がいる。", "犬もいる。"), strict=True)))
    data = read_task(TASKS["jnli"], jglue_folder)
    assert "test" not in data.splits
    assert "jnli-v1.3/test-v1.3.json is to 3% in the training split: not scored" in data.notes


def test_the_real_files(shared_data: Path) -> None:
    """JNLI's training split there holds its test split."""
    data = {name: read_task(TASKS[name], shared_data / "jglue") for name in ("jsts", "jnli", "jcola")}
    assert {split: len(examples) for split, examples in data["jsts"].splits.items()} == {
        "train": 12_451,
        "validation": 1_457,
        "test": 1_589,
    }
    assert len(data["jcola"].splits["out_of_domain"]) == 685
    assert data["jsts"].notes == data["jcola"].notes == ()
    assert list(data["jnli"].splits) == ["train", "validation"]
    assert data["jnli"].notes == (
        "jnli-v1.3/train-v1.3.json is not the published file",
        "jnli-v1.3/test-v1.3.json is to 100% in the training split: not scored",
    )
