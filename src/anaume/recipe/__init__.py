"""One TOML file is one run, and a stage is a table in it.

`load` reads a file and returns a frozen `Recipe`; `to_toml` writes the resolved recipe. Every key is documented where
it is declared, in `tables`, `stage` and `anaume.corpus.source`, and docs/recipe.md is made from those texts.
"""

from anaume.recipe.compare import (
    FREE_KEYS,
    differences,
    file_fingerprint,
    fingerprint,
    first_difference,
    flat,
    to_toml,
)
from anaume.recipe.loading import load, load_tables, parse
from anaume.recipe.stage import LENGTH_BINS, Stage
from anaume.recipe.tables import Corpus, Model, Precision, Recipe, TokenizerTable

__all__ = [
    "FREE_KEYS",
    "LENGTH_BINS",
    "Corpus",
    "Model",
    "Precision",
    "Recipe",
    "Stage",
    "TokenizerTable",
    "differences",
    "file_fingerprint",
    "fingerprint",
    "first_difference",
    "flat",
    "load",
    "load_tables",
    "parse",
    "to_toml",
]
