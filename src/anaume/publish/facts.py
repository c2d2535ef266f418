"""A run and one of its exports → the facts that a model card states. All of them come from files of the run."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anaume.encoder.load import revision_of
from anaume.evals.record import Record
from anaume.evals.tasks import TASKS
from anaume.recipe import Recipe, Stage
from anaume.report.curves import Curve, training_seconds
from anaume.report.inputs import read_inputs
from anaume.run import CheckpointName, Run
from anaume.tokenizer.auto import open_auto_tokenizer

KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
# Share of the vocabulary with kana from which a tokenizer counts as Japanese. LLM-jp's, which is English, Chinese and
# Korean, too, has a quarter.
KANA_SHARE = 0.05
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class CardFacts:
    """What is known of an export.

    `tokens`, `seconds`  read and spent by the time of the checkpoint; 0 seconds if the run did not record its speed
    `records`            the evaluation records whose weights are those of the export, in the order of the tasks
    `languages`          ISO 639-1 codes; empty where the vocabulary does not tell
    `base_model`         the Hub id of the checkpoint that the run continued; `base` is its name, a folder or an id
    `datasets`           Hub ids of the training text
    `license`            the licence that the user chose for the weights; empty: none yet
    """

    checkpoint: CheckpointName
    average: int
    recipe: Recipe
    manifest: dict[str, Any]
    tokens: int
    seconds: float
    records: tuple[Record, ...]
    languages: tuple[str, ...]
    vocabulary: int
    mask_token: str
    base: str
    base_model: str
    datasets: tuple[str, ...]
    license: str

    @property
    def trained_length(self) -> int:
        """The longest piece of text in tokens that training had read, among the stages up to the checkpoint."""
        return max(stage.length for stage in self.stages)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the recipe up to that of the checkpoint."""
        names = [stage.name for stage in self.recipe.stage]
        return tuple(self.recipe.stage[: names.index(self.checkpoint.stage) + 1])


def read_facts(run: Run, checkpoint: CheckpointName, average: int, folder: Path, license: str) -> CardFacts:
    """Collect the facts of the export in `folder`.

    Raises:
        UserError: the run is damaged. Damaged records and metrics are left out.
    """
    recipe = run.recipe().published()
    (entry,) = read_inputs([run.folder])
    revision = revision_of(str(folder))
    models = (*entry.checkpoints, *entry.others)
    records = [record for model in models for record in model.records.values()]
    names = [stage.name for stage in recipe.stage]
    before = names[: names.index(checkpoint.stage)]
    curves = [entry.train[name] for name in before if name in entry.train]
    if checkpoint.stage in entry.train:
        curves.append(_until(entry.train[checkpoint.stage], checkpoint.step))
    tokenizer = open_auto_tokenizer(folder)
    base = recipe.model.init
    return CardFacts(
        checkpoint,
        average,
        recipe,
        entry.manifest,
        run.tokens_seen(checkpoint),
        training_seconds(curves),
        tuple(sorted((r for r in records if r.settings.get("revision") == revision), key=_rank)),
        ("ja",) if _kana_share(tokenizer) >= KANA_SHARE else (),
        len(tokenizer),
        str(tokenizer.mask_token),
        base,
        base if HUB_ID.fullmatch(base) and not Path(base).exists() else "",
        tuple(dict.fromkeys(source.hub for source in recipe.corpus.train if source.hub)),
        license,
    )


def finite_metrics(record: Record) -> dict[str, float]:
    """The metrics of a record that are numbers."""
    return {name: value for name, value in record.metrics.items() if value is not None and math.isfinite(value)}


def _until(curve: Curve, step: int) -> Curve:
    kept = curve["step"] <= step
    return {field: column[kept] for field, column in curve.items()}


def _kana_share(tokenizer: Any) -> float:
    vocabulary = tokenizer.get_vocab()
    return sum(bool(KANA.search(piece)) for piece in vocabulary) / len(vocabulary)


def _rank(record: Record) -> tuple[int, str]:
    """The place of a task in the table of tasks; the tasks of JGLUE, which have names of their own, come last."""
    names = list(TASKS)
    return names.index(record.task) if record.task in names else len(names), record.task
