"""A recipe's text → the run's tokenizer and token stores. What is there already is kept."""

import json
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from anaume.batches.loader import Plan
from anaume.errors import UserError
from anaume.files import write_json
from anaume.recipe import Recipe, Stage
from anaume.run import Run
from anaume.tokens import tokenizer
from anaume.tokens.build import build, open_stores
from anaume.tokens.store import Store
from anaume.tokens.summary import Counts, Summary
from anaume.tokens.tokenizer import Tokenizer

SPLITS = ("train", "validation")
ORIGIN = "origin.json"


@dataclass(frozen=True)
class Data:
    """What the stages read; `facts` is the manifest's account of it, a flat row for each split and source."""

    tokenizer: Tokenizer
    stores: dict[str, list[Store]]
    facts: dict[str, dict[str, Any]]

    def plan(self, recipe: Recipe, stage: Stage, split: str) -> Plan:
        """The batches of a stage, or of its validation: the same text and masks each time, packed, nothing left out."""
        training = split == "train"
        sources = recipe.corpus.train if training else recipe.corpus.validation
        return Plan(
            self.stores[split],
            tuple(source.weight for source in sources) if training else (1.0,) * len(sources),
            self.tokenizer,
            # Stages read different orders of the corpus; validation reads the same one always.
            seed=_seed(recipe.seed, recipe.stage.index(stage) if training else -1),
            length=stage.length,
            row_tokens=stage.micro_batch_tokens,
            mask_rate=stage.mask_rate,
            documents=stage.documents if training else "split",
            packing=stage.packing if training else True,
            min_document_tokens=stage.min_document_tokens if training else 0,
        )


def _seed(seed: int, stage: int) -> int:
    return seed * 1000 + 1 + stage


def prepare(recipe: Recipe, run: Run, workers: int = 1) -> Data:
    """Make the tokenizer and the stores of a run, or open those of a run that has begun.

    A run keeps its tokens: what becomes of the corpus's files afterwards changes neither them nor their order.

    Raises:
        UserError: as the readers, the tokenizer and the store do; no document is as long as a stage wants.
    """
    if run.manifest_file.is_file():
        loaded = tokenizer.load(run.tokenizer)
        facts = json.loads(run.manifest_file.read_text(encoding="utf-8"))["data"]
    else:
        _make_tokenizer(recipe, run.tokenizer)
        loaded = tokenizer.load(run.tokenizer)
        sources = {"train": recipe.corpus.train, "validation": recipe.corpus.validation}
        facts = {}
        for split in SPLITS:
            facts |= _facts(split, build(sources[split], loaded, run.tokens(split), workers=workers))
        for stage in recipe.stage:
            if facts["train"]["most_tokens"] < stage.min_document_tokens:
                raise UserError(
                    f"stage {stage.name!r}: min_document_tokens = {stage.min_document_tokens}; the corpus's longest"
                    f" document has {facts['train']['most_tokens']} tokens"
                )
    return Data(loaded, {split: open_stores(run.tokens(split), loaded) for split in SPLITS}, facts)


def _facts(split: str, summary: Summary) -> dict[str, dict[str, Any]]:
    """A flat row for a split, and if it has several sources one for each."""
    rows = {
        split: {
            **{field.name: getattr(summary, field.name) for field in fields(Counts)},
            "median_tokens": summary.length_quantiles["0.5"],
            "most_tokens": summary.length_quantiles["1"],
        }
    }
    if len(summary.sources) > 1:
        rows |= {f"{split}, {name}": asdict(counts) for name, counts in summary.sources.items()}
    return rows


def _make_tokenizer(recipe: Recipe, folder: Path) -> None:
    """The folder remembers what it was made from; one made from something else is made again."""
    table = recipe.tokenizer
    origin: dict[str, Any] = table.model_dump()
    if table.train:
        origin["corpus"] = [source.model_dump() for source in recipe.corpus.train]
    noted = folder / ORIGIN
    if noted.is_file() and json.loads(noted.read_text(encoding="utf-8")) == origin:
        return
    print("preparing the tokenizer", file=sys.stderr)
    if table.train:
        tokenizer.train(recipe.corpus.train, table.train, folder)
    else:
        # An encoder's tokenizer is adapted too: that only checks it and copies its files.
        tokenizer.adapt(table.adapt or table.load, folder)
    write_json(noted, origin)
