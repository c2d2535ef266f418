"""CSV and JSON lines with labels: the kind of task that they imply, and the line that each mistake gets."""

import json
from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.evals.labelled.read import read_labelled
from anaume.finetune.examples import Example, Head


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def table(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_names_as_classes(tmp_path: Path) -> None:
    """Quotes, a comma and a line end within a field, a byte order mark."""
    data = read_labelled(table(tmp_path / "a.csv", '\ufefftext,label\r\n"良い, ""最高""",正\r\n"悪い\n店",負\r\n'))
    assert data.head == Head(str(tmp_path / "a.csv"), "classes", 2, ("正", "負"))
    assert data.examples == (Example(('良い, "最高"',), 0.0), Example(("悪い\n店",), 1.0))


def test_numbers_as_classes(tmp_path: Path) -> None:
    """In the order of the numbers."""
    rows = [{"text": "a", "label": 10}, {"text": "b", "label": 2}]
    data = read_labelled(lines(tmp_path / "a.jsonl", *rows))
    assert (data.head.kind, data.head.names) == ("classes", ("2", "10"))
    assert [example.label for example in data.examples] == [1.0, 0.0]


def test_several_labels(tmp_path: Path) -> None:
    rows = [{"text": "a", "labels": ["y", "x"]}, {"text": "b", "labels": []}]
    data = read_labelled(lines(tmp_path / "a.jsonl", *rows))
    assert (data.head.kind, data.head.names) == ("labels", ("x", "y"))
    assert [example.labels for example in data.examples] == [(0, 1), ()]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_regression_on_pairs(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "csv":
        table(path, "sentence1,sentence2,score\na,b,0.5\nc,d,1.0\n")
    else:
        rows = [{"sentence1": "a", "sentence2": "b", "score": 0.5}, {"sentence1": "c", "sentence2": "d", "score": 1}]
        lines(path, *rows)
    data = read_labelled(path)
    assert (data.head.kind, data.head.outputs) == ("similarity", 1)
    assert data.examples == (Example(("a", "b"), 0.5), Example(("c", "d"), 1.0))


def test_chosen_columns(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "label,title,body,stars\nx,t,u,good\nx,v,w,bad\n")
    data = read_labelled(path, ("title", "body"), "stars")
    assert [example.texts for example in data.examples] == [("t", "u"), ("v", "w")]
    assert data.head.names == ("bad", "good")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\n", "a.csv: no rows"),
        ("text,label\na,x\nb,x\n", "a.csv: 'label' is 'x' in every row; expected two classes or more"),
        ("text,label\na,x\nb,\n", "a.csv:3: 'label' is empty"),
        ("text,label\na,x\n ,y\n", "a.csv:3: `text` is ' '"),
        ("text,label\na,x\nb,y,z\n", "a.csv:3: another number of columns; expected 2"),
        ("text,label\na,x\nb\n", "a.csv:3: another number of columns; expected 2"),
        ("body,label\na,x\n", "a.csv:2: --text: no such column; expected one of body, label"),
        ("text,class\na,x\n", "a.csv:2: --label: no such column; expected one of text, class"),
        ("text,label\na,0.5\nb,x\n", "a.csv:3: 'label' is 'x'; expected a finite number"),
        ("text,label\na,0.5\nb,0.5\n", "a.csv: 'label' is 0.5 in every row"),
        ('text,label\n"a,x\n', "a.csv: not CSV in UTF-8"),
    ],
)
def test_a_mistake_in_csv(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_labelled(table(tmp_path / "a.csv", content))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "b", "label": None}, "a.jsonl:2: 'label' is empty"),
        ({"text": "b"}, "a.jsonl:2: 'label' is empty"),
        ({"text": "b", "label": 1}, "a.jsonl:2: 'label' is a number, and elsewhere a name"),
        ({"text": "b", "label": {"a": 1}}, "a.jsonl:2: 'label' is {'a': 1}; expected a name, a number or a list"),
        ({"text": "b", "label": ["x", ""]}, "'label' is"),
        ({"text": "", "label": "x"}, "a.jsonl:2: `text` is ''"),
        ({"text": "b", "label": "\ud83d"}, "a.jsonl:2: 'label': '\\ud83d': not Unicode text"),
        ({"text": "b", "label": ["x", "\ud83d"]}, "a.jsonl:2: 'label': '\\ud83d': not Unicode text"),
    ],
)
def test_a_mistake_in_json_lines(row: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_labelled(lines(tmp_path / "a.jsonl", {"text": "a", "label": "y"}, row))
    assert message in str(error.value)


def test_a_column_that_is_absent(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "text,label\na,x\nb,y\n")
    with pytest.raises(UserError, match=r"a\.csv:2: --text 'body': no such column; expected one of text, label"):
        read_labelled(path, ("text", "body"))
    with pytest.raises(UserError, match="--label 'stars': no such column"):
        read_labelled(path, (), "stars")


def test_an_integer_that_no_float_holds(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "a", "label": 0.5}, {"text": "b", "label": 10**400})
    with pytest.raises(UserError, match=r"a\.jsonl:2: 'label' is 10000.*; expected a finite number"):
        read_labelled(path)
