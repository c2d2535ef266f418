"""A recipe's corpus → the run's tokenizer and token stores, which are kept once they exist."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from anaume.batches.masking import Masking
from anaume.batches.next_token import NextToken
from anaume.batches.plan import BatchPlan, Documents
from anaume.batches.words import mecab
from anaume.corpus.readers import check_source
from anaume.errors import UserError
from anaume.files import write_json
from anaume.model.place import check_place
from anaume.progress import say
from anaume.recipe import Recipe, Stage
from anaume.run import Run
from anaume.tokenizer import hub
from anaume.tokenizer.adapt import adapt_tokenizer, copy_tokenizer
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokenizer.train import train_tokenizer
from anaume.tokens import local, memory
from anaume.tokens.build import open_stores
from anaume.tokens.job import begin, finish
from anaume.tokens.store import Store
from anaume.tokens.summary import Counts, Summary, unknown_warning

SPLITS: tuple[Literal["train", "validation"], ...] = ("train", "validation")
# The file of a tokenizer's folder that records its settings and corpus.
ORIGIN = "origin.json"


@dataclass(frozen=True)
class RunData:
    """The data of all stages.

    `stores`  "train" or "validation" → the stores of its sources
    `facts`   counts for the manifest, a flat row for each split and, if it has several sources, for each source
    """

    tokenizer: Tokenizer
    stores: dict[str, Sequence[Documents]]
    facts: dict[str, dict[str, Any]]

    def validation_stores(self, recipe: Recipe, name: str) -> list[Store]:
        """The stores of the validation set `name`."""
        pairs = zip(recipe.corpus.sources("validation"), self.stores["validation"], strict=True)
        return [store for source, store in pairs if source.name == name and isinstance(store, Store)]

    def plan(self, recipe: Recipe, stage: Stage, split: str, causal: bool = False, name: str = "") -> BatchPlan:
        """The plan of a stage's training batches, or of its validation: always packed, split and without resampling.

        Validation reads the set `name`. It is masked, or with `causal` predicts each token from those before it.
        """
        training = split == "train"
        stores = self.stores["train"] if training else self.validation_stores(recipe, name)
        next_token = NextToken(stage.causal_targets) if training and stage.objective == "causal" else None
        return BatchPlan(
            stores,
            tuple(source.weight for source in recipe.corpus.sources("train")) if training else (1.0,) * len(stores),
            self.tokenizer,
            # Each stage reads the corpus in an order of its own; validation always reads it in the same order.
            seed=_seed(recipe.seed, recipe.stage.index(stage) if training else -1),
            length=stage.length,
            row_tokens=stage.micro_batch_tokens,
            masking=_masking(stage) if training else Masking(stage.mask_rate, stage.mask_rate),
            documents=stage.documents if training else "split",
            packing=stage.packing if training else True,
            min_document_tokens=stage.min_document_tokens if training else 0,
            length_shares=tuple(stage.length_shares) if training else (),
            next_token=NextToken() if causal else next_token,
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


def check_places(recipe: Recipe) -> None:
    """Check that the checkpoint, the tokenizer and the text that a recipe names are there; nothing is read.

    Raises:
        UserError: names the one that is not.
    """
    if recipe.model.init:
        check_place(recipe.model.init)
    source = recipe.tokenizer.adapt or recipe.tokenizer.load
    if source and not Path(source).expanduser().is_file():
        hub.check_place(source)
    for split in SPLITS:
        for text in recipe.corpus.sources(split):
            check_source(text)


def check_early(recipe: Recipe, processes: int) -> None:
    """Find the mistakes of a recipe that need neither its tokens nor its network: before hours of tokenising.

    Raises:
        UserError: `processes` ranks can't share a batch; a package is missing.
    """
    for stage in recipe.stage:
        if stage.batch_tokens % (stage.micro_batch_tokens * processes):
            raise UserError(
                f"stage {stage.name!r}: batch_tokens = {stage.batch_tokens}: {processes} processes can't share it;"
                f" expected a multiple of {processes} × micro_batch_tokens = {processes * stage.micro_batch_tokens}"
            )
        if stage.mask_unit == "word":
            mecab()
    for tracker in recipe.trackers:
        if not find_spec(tracker):
            raise UserError(f"trackers: {tracker} is not installed; expected pip install {tracker}")


def prepare_tokenizer(recipe: Recipe, run: Run) -> Tokenizer:
    """Make the tokenizer of a run that has not begun, and open it.

    Raises:
        UserError: the tokenizer, or the text that it is trained on, is not usable.
    """
    if not run.manifest_file.is_file():
        _make_tokenizer(recipe, run.tokenizer)
    return load_tokenizer(run.tokenizer)


def prepare(recipe: Recipe, run: Run, workers: int = 1) -> RunData:
    """Make the tokenizer and the stores of a run, or open those of a run that has begun.

    A run keeps its tokens, so later changes of the corpus's files affect neither the tokens nor their order. Only a
    training corpus held in memory is read again. `workers` processes tokenise.

    Raises:
        UserError: a file, the tokenizer or a store is not usable; the manifest is damaged; the `min_document_tokens` of
            a stage is longer than every document; a corpus held in memory has changed since the run began.
    """
    begun = run.manifest_file.is_file()
    loaded = prepare_tokenizer(recipe, run)
    stores: dict[str, Sequence[Documents]] = {}
    facts: dict[str, dict[str, Any]] = {}
    on_disk = [split for split in SPLITS if split == "validation" or not recipe.corpus.in_memory]
    # The files of both splits are listed before those of one are tokenised.
    jobs = {} if begun else {s: begin(recipe.corpus.sources(s), loaded, run.tokens(s)) for s in on_disk}
    for split in SPLITS:
        if split == "train" and recipe.corpus.in_memory:
            encoded = [memory.encode(source, loaded) for source in recipe.corpus.sources("train")]
            stores[split], facts[split] = encoded, _facts_in_memory(encoded)
            unknown = sum(store.unknown_tokens for store in encoded)
            _warn_of_unknown(split, unknown, facts[split]["tokens"])
        else:
            if split in jobs:
                if jobs[split].todo:
                    local.run(jobs[split], loaded, workers)
                summary = finish(jobs[split])
                _warn_of_unknown(split, summary.unknown_tokens, summary.tokens)
                facts |= _facts(split, summary)
            stores[split] = open_stores(run.tokens(split), loaded)
    if begun:
        original = run.manifest()["data"]
        if recipe.corpus.in_memory and facts["train"] != original.get("train"):
            raise UserError(f"{run.folder}: the training corpus (in_memory) has changed since the run began")
        facts = original
    longest = facts.get("train", {}).get("most_tokens")
    if longest is None:
        raise UserError(f"{run.manifest_file}: data.train.most_tokens: missing; expected the file that the run wrote")
    for stage in recipe.stage:
        if longest < stage.min_document_tokens:
            raise UserError(
                f"stage {stage.name!r}: min_document_tokens = {stage.min_document_tokens}: no document is as long;"
                f" expected at most {longest}, the corpus's longest"
            )
    return RunData(loaded, stores, facts)


def _warn_of_unknown(split: str, unknown: int, tokens: int) -> None:
    if warning := unknown_warning(unknown, tokens):
        say(f"anaume: corpus.{split}: {warning}")


def _facts_in_memory(stores: Sequence[memory.MemoryStore]) -> dict[str, Any]:
    lengths = np.concatenate([store.lengths(np.arange(len(store))) for store in stores])
    return {
        "documents": len(lengths),
        "tokens": int(lengths.sum()),
        "characters": sum(store.characters for store in stores),
        "median_tokens": int(np.median(lengths)),
        "most_tokens": int(lengths.max()),
        "sha256": ", ".join(store.checksum for store in stores),
    }


def _facts(split: str, summary: Summary) -> dict[str, dict[str, Any]]:
    """A flat row for a split and, if it has several sources, for each source."""
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
    """Make the tokenizer in `folder`, unless the folder records that it was made from the same settings and corpus."""
    table = recipe.tokenizer
    origin: dict[str, Any] = table.model_dump()
    if table.train:
        origin["corpus"] = [source.published().model_dump() for source in recipe.corpus.sources("train")]
    origin_file = folder / ORIGIN
    if origin_file.is_file() and json.loads(origin_file.read_text(encoding="utf-8")) == origin:
        return
    say("preparing the tokenizer")
    origin_file.unlink(missing_ok=True)  # a kill must not leave it beside another tokenizer
    if table.train:
        train_tokenizer(recipe.corpus.sources("train"), table.train, folder, kind=table.kind, words=table.words)
    elif table.adapt:
        adapt_tokenizer(table.adapt, folder)
    else:
        copy_tokenizer(table.load, folder)
    write_json(origin_file, origin)
