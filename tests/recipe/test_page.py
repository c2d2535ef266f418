"""docs/recipe.md is made from the texts of the fields."""

from pathlib import Path

from anaume.recipe import load
from anaume.recipe.page import render
from anaume.recipe.tables import TABLES

PAGE = Path(__file__).parents[2] / "docs" / "recipe.md"


def test_every_field_is_described_by_sentences() -> None:
    for name, table in TABLES.items():
        assert table.__doc__, name
        for key, field in table.model_fields.items():
            assert (field.description or "").endswith("."), f"{name}.{key}"


def test_the_page_is_up_to_date() -> None:
    renewal = "run `python -m anaume.recipe.page > docs/recipe.md`"
    assert PAGE.read_text(encoding="utf-8") == render(), f"{PAGE} is not made from these fields: {renewal}"


def test_the_example_is_a_recipe(tmp_path: Path) -> None:
    lines = render().partition("    name = ")
    example = [line.removeprefix("    ") for line in f"{lines[1]}{lines[2]}".splitlines()]
    file = tmp_path / "recipe.toml"
    file.write_text("\n".join(example[: example.index("")]), encoding="utf-8")
    assert load(file).stage[0].steps == 10_000
