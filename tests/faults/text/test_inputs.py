"""Any value of JSON in any field of an evaluation's or a training's files: rows, or one line with file and line."""

import csv
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.text.strategies import VALUES, is_unicode, result_or_line, texts

from anaume.evals.inputs.cloze import read_cloze
from anaume.evals.inputs.contrast_sets import read_sets
from anaume.evals.inputs.pairs import read_pairs
from anaume.evals.jglue.read import read_task
from anaume.evals.jglue.tasks import TASKS, JglueTask
from anaume.evals.labelled.read import read_labelled

ANY = st.one_of(VALUES, texts(max_size=4))
GOOD: dict[str, list[dict[str, Any]]] = {
    "pairs": [{"query": "猫", "positive": "動物", "title": "猫", "source": None, "negatives": ["犬", "鳥"]}] * 3,
    "cloze": [{"text": "猫は[MASK]だ。", "answers": ["動物"]}] * 3,
    "labelled": [{"text": "猫", "label": "a"}, {"text": "犬", "label": "b"}, {"text": "鳥", "label": "a"}],
    "numbers": [{"sentence1": "猫", "sentence2": "犬", "score": score} for score in (0.5, 1, 2.5)],
    "labels": [{"text": "猫", "labels": names} for names in (["a"], ["b", "a"], [])],
}
READERS: dict[str, Callable[[Path], Any]] = {
    "pairs": lambda path: read_pairs(path, negative_field="negatives"),
    "cloze": read_cloze,
    "labelled": read_labelled,
    "numbers": read_labelled,
    "labels": read_labelled,
}


def write(path: Path, rows: list[Any], *, mark: str = "", end: str = "\n") -> Path:
    path.write_text("".join(mark + json.dumps(row) + end for row in rows), encoding="utf-8", newline="")
    return path


def changed(data: st.DataObject, rows: list[dict[str, Any]]) -> list[Any]:
    """Rows of which one has another value in a field, lacks one, or is another value itself."""
    changed_rows: list[Any] = [dict(row) for row in rows]
    number = data.draw(st.integers(0, len(rows) - 1))
    field = data.draw(st.sampled_from(sorted(rows[number])))
    match data.draw(st.integers(0, 9)):
        case 0:
            changed_rows[number] = data.draw(ANY)
        case 1:
            del changed_rows[number][field]
        case 2:
            changed_rows[number] |= data.draw(st.dictionaries(texts(surrogates=True, max_size=2), VALUES, max_size=2))
        case _:
            changed_rows[number][field] = data.draw(ANY)
    return changed_rows


def strings(value: Any) -> Iterator[str]:
    """Every text of examples, pairs or questions."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        yield from strings(list(value.items()))
    elif hasattr(value, "__dataclass_fields__"):
        yield from strings([getattr(value, name) for name in value.__dataclass_fields__])


def check(read: Callable[[], Any], path: Path, rows: int) -> None:
    """Read; what is read are texts of Unicode, and a line begins with the file."""
    result = result_or_line(read)
    if isinstance(result, str):
        assert result.startswith(str(path)), result
    else:
        assert all(map(is_unicode, strings(result)))
        assert len(getattr(result, "examples", result)) == rows


@pytest.mark.parametrize("kind", GOOD)
@given(data=st.data())
def test_json_lines_give_rows_or_one_line(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    rows = changed(data, GOOD[kind])
    path = write(tmp_path / f"{kind}.jsonl", rows, mark=data.draw(st.sampled_from(["", "\ufeff"])))
    check(lambda: READERS[kind](path), path, len(rows))


@given(data=st.data(), content=st.lists(st.tuples(texts(surrogates=False), texts(max_size=2)), min_size=1, max_size=5))
def test_csv_gives_rows_or_one_line(data: st.DataObject, content: list[tuple[str, str]], tmp_path: Path) -> None:
    """A table that Python's csv wrote, and the same after a damage."""
    path = tmp_path / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *content])
    result = result_or_line(lambda: read_labelled(path))
    if not isinstance(result, str):
        assert [example.texts for example in result.examples] == [(text,) for text, _ in content]
    damaged = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(damaged)))
    damaged[place : place + 1] = data.draw(st.sampled_from([b"", b'"', b"\xff", b"\0", b"\r", b",", b"\n"]))
    path.write_bytes(damaged)
    result = result_or_line(lambda: read_labelled(path))
    assert not isinstance(result, str) or result.startswith(str(path))


PAIR = {"sentence1": "猫がいる。", "sentence2": "犬がいる。"}
OF_TASKS: dict[str, list[dict[str, Any]]] = {
    "jsts": [PAIR | {"label": label} for label in (0.0, 2.5, 5)],
    "jnli": [PAIR | {"label": label} for label in TASKS["jnli"].classes],
    "jcola": [{"sentence": "猫がいる。", "label": label} for label in (0, 1)],
    "jcommonsenseqa": [{"question": "何？", **{f"choice{i}": f"{i}" for i in range(5)}, "label": i} for i in range(5)],
    "marc-ja": [{"sentence": "良い。", "label": label} for label in ("positive", "negative")],
}


def task_files(task: JglueTask, folder: Path) -> dict[str, Path]:
    """The paths of a task's files below a folder, by split; the folder of the files is made."""
    name = task.folder.replace("*", "1")
    (folder / name).mkdir(exist_ok=True)
    return {split: folder / name / file for split, file in task.files(name).items()}


@pytest.mark.parametrize("name", OF_TASKS)
@given(data=st.data())
def test_jglue_gives_examples_or_one_line(name: str, data: st.DataObject, tmp_path: Path) -> None:
    task = TASKS[name]
    files = task_files(task, tmp_path)
    for path in files.values():
        write(path, OF_TASKS[name])
    split = data.draw(st.sampled_from(sorted(files)))
    rows = write(files[split], changed(data, OF_TASKS[name])).read_text().count("\n")
    result = result_or_line(lambda: read_task(task, tmp_path))
    if isinstance(result, str):
        assert result.startswith(str(files[split])), result
    else:
        assert all(map(is_unicode, strings(result.splits)))
        assert split == "test" or len(result.splits[split]) == rows
        labels = [example.label for examples in result.splits.values() for example in examples]
        assert all(math.isfinite(label) and 0 <= label <= 5 for label in labels)
    if name in ("jnli", "jsts"):
        result_or_line(lambda: read_sets(nli=tmp_path) if name == "jnli" else read_sets(sts=tmp_path))


QUESTION = {"id": "q", "question": "何？", "answers": [{"text": "猫", "answer_start": 3}]}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values inside a value."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


@given(data=st.data())
def test_squad_gives_answers_that_stand_in_the_context_or_one_line(data: st.DataObject, tmp_path: Path) -> None:
    content: Any = {"data": [{"paragraphs": [{"context": "これは猫です。", "qas": [QUESTION]}]}] * 2}
    content = json.loads(json.dumps(content))
    files = task_files(TASKS["jsquad"], tmp_path)
    for path in files.values():
        path.write_text(json.dumps(content), encoding="utf-8")
    *parents, last = data.draw(st.sampled_from([*places(content)][1:]))
    node = content
    for key in parents:
        node = node[key]
    node[last] = data.draw(ANY)
    files["validation"].write_text(json.dumps(content), encoding="utf-8")
    result = result_or_line(lambda: read_task(TASKS["jsquad"], tmp_path))
    if isinstance(result, str):
        assert result.startswith(str(files["validation"])), result
    else:
        assert all(map(is_unicode, strings(result.splits)))
        for example in result.splits["validation"]:
            for text, start in example.answers:
                assert example.texts[1][start : start + len(text)] == text
