"""Any value of any key of a recipe: it loads, and what is written reads back equal, or one line says why not."""

import datetime
from pathlib import Path
from typing import Any

import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.text.strategies import AWKWARD, result_or_line, texts

from anaume.errors import UserError
from anaume.recipe import Recipe, file_fingerprint, fingerprint, load, parse, to_toml
from anaume.recipe.tables import TABLES, table_of

BASE: dict[str, Any] = {
    "name": "test",
    "corpus": {"train": [{"path": "a.jsonl"}], "validation": [{"path": "b.jsonl"}]},
    "tokenizer": {"train": 1024},
    "model": {"layers": 2, "hidden": 64, "heads": 4, "intermediate": 96, "positions": 512},
    "stage": [
        {"name": "one", "length": 64, "steps": 10, "batch_tokens": 512, "micro_batch_tokens": 256, "warmup_steps": 1},
        {"name": "two", "length": 128, "steps": 9, "batch_tokens": 512, "micro_batch_tokens": 512, "warmup_steps": 1},
    ],
}
KEYS = [
    (table, key) for table, kind in TABLES.items() for key, field in kind.model_fields.items() if not table_of(field)
]
TIMES = st.datetimes() | st.dates() | st.times() | st.datetimes(timezones=st.just(datetime.UTC))
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-2, 3000),
    st.integers(),
    st.sampled_from([2**32, 2**63, 10**30, 10**400, 8, 64, 512, 1000]),
    st.floats(),
    st.floats(0, 1),
    texts(max_size=3),
    st.sampled_from(
        ["", "a.jsonl", "utf-16", "wsd", "cosine", "muon", "span", "causal", "truncate", "lines", "float32"]
    ),
    st.sampled_from(["hakoniwa", "one", "two", "validation", "a/b", "bpe", "respect", "http://alice:PW@host/x?y=z"]),
    TIMES,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(max_size=2), inner, max_size=3),
    max_leaves=5,
)
SHARES = st.sampled_from([[0.0, 0.5], [0.25, 0.25, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0], [1, 2], [3]])
CHANGES = st.lists(st.tuples(st.sampled_from(KEYS), VALUES | SHARES, st.integers(0, 1)), min_size=1, max_size=4)


def changed(changes: list[tuple[tuple[str, str], Any, int]]) -> dict[str, Any]:
    """The base with other values; of a list of tables, the number chooses one."""

    def copy(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: copy(child) for key, child in value.items()}
        return [copy(child) for child in value] if isinstance(value, list) else value

    table: dict[str, Any] = copy(BASE)
    for (path, key), value, number in changes:
        node = table
        for part in filter(None, path.split(".")):
            child = node.setdefault(part, {})
            node = child[number % len(child)] if isinstance(child, list) else child
        node[key] = value
    return table


def check_reads_back(recipe: Recipe, folder: Path) -> None:
    """Check that the file which a run writes of a recipe holds that recipe."""
    file = folder / "written.toml"
    file.write_text(to_toml(recipe), encoding="utf-8")
    assert load(file) == recipe
    assert file_fingerprint(file) == fingerprint(recipe)


@given(changes=CHANGES)
def test_any_values_load_or_get_one_line(changes: list[tuple[tuple[str, str], Any, int]], tmp_path: Path) -> None:
    """As a file, and as the dictionaries that a Python script passes, which may hold what TOML has not."""
    table = changed(changes)
    file = tmp_path / "recipe.toml"
    file.write_text(tomli_w.dumps(table).replace("\x7f", r"\u007f"), encoding="utf-8")
    recipe = result_or_line(lambda: load(file))
    if isinstance(recipe, str):
        assert recipe.startswith(f"{file}: ")
    else:
        assert recipe == parse(table, "a table")
        check_reads_back(recipe, tmp_path)


@given(
    key=st.sampled_from(KEYS), text=st.one_of(texts(max_size=4), VALUES.map(repr)), path=st.none() | texts(max_size=3)
)
def test_any_change_on_the_command_line(key: tuple[str, str], text: str, path: str | None, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(tomli_w.dumps(BASE), encoding="utf-8")
    table = key[0].replace("train", "train.0").replace("validation", "validation.0").replace("stage", "stage.0")
    change = f"{path}={text}" if path is not None else f"{table}.{key[1]}={text}".lstrip(".")
    recipe = result_or_line(lambda: load(file, [change]))
    if not isinstance(recipe, str):
        check_reads_back(recipe, tmp_path)


@given(
    content=st.one_of(
        st.binary(max_size=40),
        st.tuples(st.integers(0, 600), st.one_of(st.sampled_from(AWKWARD).map(str.encode), st.binary(max_size=3))).map(
            lambda change: _damaged(*change)
        ),
    )
)
def test_any_file_loads_or_gets_one_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_bytes(content)
    recipe = result_or_line(lambda: load(file))
    if isinstance(recipe, str):
        assert recipe.startswith(f"{file}: ")
    else:
        check_reads_back(recipe, tmp_path)


def _damaged(place: int, between: bytes) -> bytes:
    content = tomli_w.dumps(BASE).encode()
    return content[:place] + between + content[place + 1 :]


def test_the_base_loads() -> None:
    """Otherwise every trial would end in the same line."""
    assert not isinstance(result_or_line(lambda: parse(BASE, "base")), str | UserError)
