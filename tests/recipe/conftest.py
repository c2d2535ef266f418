from pathlib import Path

import pytest

MINIMAL = """
name = "test"
[[corpus.train]]
path = "a.jsonl"
[[corpus.validation]]
path = "b.jsonl"
[tokenizer]
train = 1024
[[stage]]
name = "one"
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    """A recipe of the required keys alone."""
    path = tmp_path / "recipe.toml"
    path.write_text(MINIMAL, encoding="utf-8")
    return path
