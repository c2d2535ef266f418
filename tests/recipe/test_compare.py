"""The text of a resolved recipe, its hash, and what a resumed run may change."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from anaume.recipe import FREE_KEYS, file_fingerprint, fingerprint, first_difference, flat, load, to_toml
from anaume.recipe.tables import TABLES, table_of


def test_resolved_recipe_reads_back_as_itself(recipe_file: Path, tmp_path: Path) -> None:
    changes = ['name=quote " and 日本', "trackers=['wandb']", "stage.0.keep_steps=[1000]", "stage.0.adam_eps=1e-20"]
    recipe = load(recipe_file, changes)
    resolved = tmp_path / "resolved.toml"
    resolved.write_text(to_toml(recipe), encoding="utf-8")
    assert load(resolved) == recipe
    assert fingerprint(load(resolved)) == fingerprint(recipe) == file_fingerprint(resolved)


def test_every_key_of_every_table_is_resolved_and_compared(recipe_file: Path) -> None:
    recipe = load(recipe_file)
    resolved = tomllib.loads(to_toml(recipe))
    compared = {".".join(part for part in key.split(".") if not part.isdecimal()) for key, _ in flat(recipe)}
    empty_lists = {"trackers", "stage.length_shares", "stage.keep_steps"}
    for name, table in TABLES.items():
        parts = [part for part in name.split(".") if part]
        entry: Any = resolved
        for part in parts:
            entry = entry[part][0] if isinstance(entry[part], list) else entry[part]
        assert list(entry) == _toml_order(table)
        values = {".".join([*parts, key]) for key, field in table.model_fields.items() if not table_of(field)}
        assert values <= compared | empty_lists


def _toml_order(table: type[BaseModel]) -> list[str]:
    """The keys of a table as declared, except that TOML needs the table's values before the tables inside it."""
    return sorted(table.model_fields, key=lambda key: table_of(table.model_fields[key]) is not None)


def test_the_keys_that_a_run_may_change() -> None:
    every = {f"stage.{key}_every" for key in ("log", "validate", "save", "keep")}
    others = {"compile", "trackers", "stage.gradient_checkpointing", "stage.keep_last", "stage.keep_steps"}
    assert every | others == FREE_KEYS


def test_first_difference_names_the_key(recipe_file: Path) -> None:
    before, after = load(recipe_file), load(recipe_file, ["stage.0.steps=30000"])
    assert first_difference(before, before, stages_begun=1) == ""
    problem = "stage.0.steps = 30000: a run keeps this key; expected 500000"
    assert first_difference(before, after, stages_begun=1) == problem
    assert fingerprint(before) != fingerprint(after)


@pytest.mark.parametrize(
    ("change", "stages_begun", "problem"),
    [
        ("seed=5", 0, "seed = 5: a run keeps this key; expected 42"),
        ("corpus.train.0.weight=2.0", 0, "corpus.train.0.weight = 2.0: a run keeps this key; expected 1.0"),
        (
            "stage.0.micro_batch_tokens=13312",
            1,
            "stage.0.micro_batch_tokens = 13312: a run keeps this key; expected 26",
        ),
        ("stage.0.validation_tokens=7", 1, "stage.0.validation_tokens = 7: a run keeps this key; expected 1048576"),
        (
            "stage.0.length_shares=[1.0,0,0,0]",
            1,
            "stage.0.length_shares.0 = 1.0: a run keeps this key; expected no such key",
        ),
        ("stage.0.micro_batch_tokens=13312", 0, ""),
        ("stage.0.gradient_checkpointing=true", 1, ""),
        ("stage.0.keep_last=1", 1, ""),
        ("stage.0.keep_steps=[1000]", 1, ""),
        ("stage.0.validate_every=7", 1, ""),
        ("compile=false", 1, ""),
        ("trackers=['wandb']", 1, ""),
    ],
)
def test_a_run_may_change_what_changes_no_number_and_stages_to_come(
    recipe_file: Path, change: str, stages_begun: int, problem: str
) -> None:
    difference = first_difference(load(recipe_file), load(recipe_file, [change]), stages_begun)
    assert difference.startswith(problem)
    assert bool(difference) == bool(problem)


def test_a_stage_may_follow_those_that_have_begun(recipe_file: Path) -> None:
    short = load(recipe_file)
    recipe_file.write_text(recipe_file.read_text(encoding="utf-8") + '[[stage]]\nname = "two"\n', encoding="utf-8")
    long = load(recipe_file)
    assert first_difference(short, long, stages_begun=1) == first_difference(long, short, stages_begun=1) == ""
    problem = "stage.1.name is missing: a run keeps this key; expected 'two'"
    assert first_difference(long, short, stages_begun=2) == problem
