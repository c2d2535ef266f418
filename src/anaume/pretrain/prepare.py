"""A recipe's text → the run's tokenizer and token stores. What is there already is kept."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from anaume.batches.masking import Masking
from anaume.batches.plan import BatchPlan, Documents
from anaume.errors import UserError
from anaume.files import write_json
from anaume.recipe import Recipe, Stage
from anaume.run import Run
from anaume.tokenizer.adapt import adapt_tokenizer
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokenizer.train import train_tokenizer
from anaume.tokens import memory
from anaume.tokens.build import build, open_stores
from anaume.tokens.summary import Counts, Summary

SPLITS = ("train", "validation")
ORIGIN = "origin.json"


@dataclass(frozen=True)
class RunData:
    """What the stages read; `facts` is the manifest's account of it, a flat row for each split and source."""

    tokenizer: Tokenizer
    stores: dict[str, Sequence[Documents]]
    facts: dict[str, dict[str, Any]]

    def plan(self, recipe: Recipe, stage: Stage, split: str) -> BatchPlan:
        """The batches of a stage, or of its validation: the same text and masks each time, packed, nothing left out."""
        training = split == "train"
        sources = recipe.corpus.train if training else recipe.corpus.validation
        return BatchPlan(
            self.stores[split],
            tuple(source.weight for source in sources) if training else (1.0,) * len(sources),
            self.tokenizer,
            # Stages read different orders of the corpus; validation reads the same one always.
            seed=_seed(recipe.seed, recipe.stage.index(stage) if training else -1),
            length=stage.length,
            row_tokens=stage.micro_batch_tokens,
            masking=_masking(stage) if training else Masking(stage.mask_rate, stage.mask_rate),
            documents=stage.documents if training else "split",
            packing=stage.packing if training else True,
            min_document_tokens=stage.min_document_tokens if training else 0,
            length_shares=tuple(stage.length_shares) if training else (),
        )


def _masking(stage: Stage) -> Masking:
    return Masking(
        rate=stage.mask_rate,
        final_rate=stage.final_mask_rate or stage.mask_rate,
        batches=stage.steps * stage.batch_tokens // stage.micro_batch_tokens,
        mask_share=stage.mask_share,
        random_share=stage.random_share,
        unit=stage.mask_unit,
        span_length=stage.mask_span_length,
    )


def _seed(seed: int, stage: int) -> int:
    return seed * 1000 + 1 + stage


def prepare(recipe: Recipe, run: Run, workers: int = 1) -> RunData:
    """Make the tokenizer and the stores of a run, or open those of a run that has begun.

    A run keeps its tokens: what becomes of the corpus's files afterwards changes neither them nor their order. Only a
    training corpus held in memory is read again.

    Raises:
        UserError: as the readers, the tokenizer and the store do; no document is as long as a stage wants; a corpus
            held in memory is no longer what the run began with.
    """
    begun = run.manifest_file.is_file()
    if not begun:
        _make_tokenizer(recipe, run.tokenizer)
    loaded = load_tokenizer(run.tokenizer)
    stores: dict[str, Sequence[Documents]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for split in SPLITS:
        if split == "train" and recipe.corpus.in_memory:
            held = [memory.encode(source, loaded) for source in recipe.corpus.train]
            stores[split], facts[split] = held, _facts_in_memory(held)
        else:
            if not begun:
                facts |= _facts(split, build(getattr(recipe.corpus, split), loaded, run.tokens(split), workers=workers))
            stores[split] = open_stores(run.tokens(split), loaded)
    if begun:
        at_first = json.loads(run.manifest_file.read_text(encoding="utf-8"))["data"]
        if recipe.corpus.in_memory and facts["train"] != at_first["train"]:
            raise UserError(f"{run.folder}: the training corpus is not what it was when the run began (in_memory)")
        facts = at_first
    for stage in recipe.stage:
        if facts["train"]["most_tokens"] < stage.min_document_tokens:
            raise UserError(
                f"stage {stage.name!r}: min_document_tokens = {stage.min_document_tokens}; the corpus's longest"
                f" document has {facts['train']['most_tokens']} tokens"
            )
    return RunData(loaded, stores, facts)


def _facts_in_memory(held: Sequence[memory.MemoryStore]) -> dict[str, Any]:
    lengths = np.concatenate([one.lengths(np.arange(len(one))) for one in held])
    return {
        "documents": len(lengths),
        "tokens": int(lengths.sum()),
        "characters": sum(one.characters for one in held),
        "median_tokens": int(np.median(lengths)),
        "most_tokens": int(lengths.max()),
        "sha256": ", ".join(one.checksum for one in held),
    }


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
        train_tokenizer(recipe.corpus.train, table.train, folder)
    else:
        # An encoder's tokenizer is adapted too: that only checks it and copies its files.
        adapt_tokenizer(table.adapt or table.load, folder)
    write_json(noted, origin)
