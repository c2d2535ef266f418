"""Files of texts with entities: each format as published, and the line that each mistake gets."""

import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from anaume.errors import UserError
from anaume.evals.ner.read import read_entities
from anaume.evals.ner.tags import entities_of_tags, join_words
from anaume.finetune.examples import Entity, Example

TEXT = "東京都は日本人の町NASAだ"
GOOD = {"text": TEXT, "entities": [{"start": 0, "end": 3, "type": "地名"}]}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_marked_texts(tmp_path: Path) -> None:
    """Entities in any order and side by side, with and without an id."""
    marks = [{"start": 4, "end": 6, "type": "地名"}, {"start": 0, "end": 4, "type": "人名"}]
    rows = [{"id": 7, "text": TEXT, "entities": marks}, {"text": "なし", "entities": []}]
    assert read_entities(write(tmp_path / "a.jsonl", *rows)) == [
        Example((TEXT,), group="7", entities=(Entity(0, 4, "人名"), Entity(4, 6, "地名"))),
        Example(("なし",)),
    ]


TAGGED = {"id": "0", "tokens": ["東京", "都", "の", "New", "York"], "ner_tags": [1, 2, 0, 3, 4]}
NAMES = ["O", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
READ = Example(("東京都のNew York",), group="0", entities=(Entity(0, 3, "LOC"), Entity(4, 12, "MISC")))


def test_rows_of_the_hub(tmp_path: Path) -> None:
    """Names as JSON lines, and numbers in Parquet, whose schema holds the names as `datasets` writes them."""
    named = {**TAGGED, "ner_tags": [NAMES[i] for i in TAGGED["ner_tags"]]}  # type: ignore[call-overload]
    assert read_entities(write(tmp_path / "a.jsonl", named)) == [READ]
    features = {"ner_tags": {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "List"}}
    table = pyarrow.Table.from_pylist([TAGGED])
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert read_entities(tmp_path / "a.parquet") == [READ]


def test_parquet_of_datasets(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    kinds = Features(
        {"id": Value("string"), "tokens": Sequence(Value("string")), "ner_tags": Sequence(ClassLabel(names=NAMES))}
    )
    Dataset.from_list([TAGGED], features=kinds).to_parquet(tmp_path / "train.parquet")
    assert read_entities(tmp_path / "train.parquet") == [READ]


@pytest.mark.parametrize("separator", [" ", "\t"])
def test_columns(separator: str, tmp_path: Path) -> None:
    """Documents, comments, a byte order mark, Windows' line ends, a "#" as a word, no empty line at the end."""
    lines = [
        "-DOCSTART- X O",
        "",
        "# id 1",
        "東京 NN B-LOC",
        "# NN O",
        "",
        "-DOCSTART- X O",
        "",
        "市 NN O",
        "UN NN B-ORG",
    ]
    content = "\ufeff" + "\r\n".join(
        line.replace(" ", separator) if line[:2] != "# " or "NN" in line else line for line in lines
    )
    (tmp_path / "a.conll").write_bytes(content.encode())
    assert read_entities(tmp_path / "a.conll") == [
        Example(("東京#",), group="document 1", entities=(Entity(0, 2, "LOC"),)),
        Example(("市UN",), group="document 2", entities=(Entity(1, 3, "ORG"),)),
    ]


def test_a_word_of_an_ideographic_space_is_no_separator(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("東京　タワー B-LOC\n", encoding="utf-8")
    assert read_entities(tmp_path / "a.conll")[0].texts == ("東京　タワー",)


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("B-A I-A B-A O", [(0, 2, "A"), (2, 3, "A")]),  # IOB2
        ("I-A I-A B-A I-B", [(0, 2, "A"), (2, 3, "A"), (3, 4, "B")]),  # IOB1
        ("B-A E-A S-A I-A", [(0, 2, "A"), (2, 3, "A"), (3, 4, "A")]),  # IOBES
        ("B-A L-A U-B-C O", [(0, 2, "A"), (2, 3, "B-C")]),  # BILOU; a type may hold a hyphen
    ],
)
def test_schemes_of_tags(tags: str, spans: list[tuple[int, int, str]]) -> None:
    characters = [(i, i + 1) for i in range(4)]
    assert entities_of_tags(tags.split(), characters, "x") == tuple(Entity(*span) for span in spans)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["東京", "の", "New", "York", "市"], "東京のNew York市"),
        (["EU", "rejects", "it", "."], "EU rejects it ."),
        (["ｶﾅ", "ＡＢ", "CD"], "ｶﾅＡＢCD"),  # full-width letters are wide
    ],
)
def test_words_become_a_text(words: list[str], text: str) -> None:
    joined, characters = join_words(words)
    assert joined == text
    assert [joined[low:high] for low, high in characters] == words


def mark(start: object, end: object, name: object = "地名", **more: object) -> dict[str, object]:
    return {"text": TEXT, "entities": [{"start": start, "end": end, "type": name, **more}]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "", "entities": []}, "a.jsonl:2: `text` is ''"),
        ({"text": TEXT}, "a.jsonl:2: `entities` is None; expected a list of objects with start, end, type"),
        ({**GOOD, "label": 1}, "a.jsonl:2: field 'label': unknown; expected id, text, entities"),
        ({**GOOD, "id": None}, "a.jsonl:2: `id` is None"),
        (mark(0, 15), "a.jsonl:2: entity 1: characters 0 to 15: out of range; expected 0 <= start < end <= 14"),
        (mark(-1, 2), "characters -1 to 2: out of range"),
        (mark(3, 3), "characters 3 to 3: out of range"),
        (mark(True, 3), "entity 1: True: no position"),
        (mark(0, 2.0), "entity 1: 2.0: no position"),
        (mark(0, 2, " "), "`type` is ' '"),
        (mark(0, 2, name="x", label=1), "not an entity; expected an object of start, end, type"),
        (
            {"text": TEXT, "entities": [*mark(4, 7)["entities"], *mark(0, 5)["entities"]]},  # type: ignore[misc]
            "a.jsonl:2: entities '東京都は日' (0 to 5) and '日本人' (4 to 7): overlap",
        ),
        ({"tokens": [], "ner_tags": []}, "a.jsonl:2: `tokens` is []"),
        ({"tokens": ["a", ""], "ner_tags": ["O", "O"]}, "a.jsonl:2: word ''"),
        ({"tokens": ["a", "b"], "ner_tags": ["O"]}, "a.jsonl:2: `ner_tags` is ['O']; expected a list of 2 tags"),
        ({"tokens": ["a"], "ner_tags": [3]}, "a.jsonl:2: tag 3: has no name; expected names such as B-PER"),
        ({"tokens": ["a"], "ner_tags": ["X-LOC"]}, "a.jsonl:2: tag 'X-LOC': unknown; expected O, or B, I, E, L, S, U"),
        ({"tokens": ["a"], "ner_tags": ["B-"]}, "tag 'B-': unknown"),
        ({"tokens": ["a"], "ner_tags": ["O"], "text": "a"}, "field 'text': unknown"),
    ],
)
def test_a_mistake_in_a_row(row: object, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", GOOD, row)
    with pytest.raises(UserError) as error:
        read_entities(path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.conll", b"x O\ny B-A z\n", "a.conll:2: 3 columns; expected 2"),
        ("a.conll", b"x\n", "a.conll:1: 1 columns; expected 2"),
        ("a.conll", b"x O\n\ny Q\n", "a.conll:3: tag 'Q': unknown"),
        ("a.conll", b"x O\n\xff O\n", "a.conll:2: not UTF-8"),
        ("a.conll", b"\n\n", "a.conll: no texts"),
        ("a.jsonl", b"", "a.jsonl: no rows"),
        ("a.xml", b"<a/>", "a.xml: .xml: unknown format; expected .jsonl, .json, .parquet, .conll"),
        ("a.parquet", b"PAR", "a.parquet: not Parquet"),
        ("absent.jsonl", None, "absent.jsonl: no such file"),
    ],
)
def test_a_mistake_in_a_file(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        read_entities(tmp_path / name)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_real_set(shared_data: Path) -> None:
    examples = read_entities(shared_data / "ner" / "wikipedia_ner.jsonl")
    assert (len(examples), sum(len(example.entities) for example in examples)) == (5_343, 13_185)


@pytest.mark.parametrize("metadata", [b"\x80", b"0", b'{"info": []}', b'{"info": {"features": {"ner_tags": 1}}}'])
def test_metadata_of_another_form_name_no_tags(metadata: bytes, tmp_path: Path) -> None:
    table = pyarrow.Table.from_pylist([TAGGED]).replace_schema_metadata({"huggingface": metadata})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet: row 1: tag 1: has no name"):
        read_entities(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    "row",
    [
        TAGGED | {"tokens": ["東京", "都", "の", "New", "\ud83d"], "ner_tags": ["O"] * 5},
        TAGGED | {"ner_tags": ["O", "B-\ud83d", "O", "O", "O"]},
        {"text": "東京", "entities": [{"start": 0, "end": 1, "type": "\ud83d"}]},
        GOOD | {"id": "\ud83d"},
    ],
)
def test_half_a_surrogate_pair_is_named_with_its_line(row: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.jsonl:2: .*not Unicode text"):
        read_entities(write(tmp_path / "a.jsonl", GOOD, row))
