"""A model and labelled data → a fine-tuned model in a folder, by the training loop of JGLUE's trials.

The rule: data, model and folder are checked before anything is trained, and the scores are those of examples that the
training has not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anaume import __version__
from anaume.corpus.rows import read_rows
from anaume.encoder.load import Encoder, bytes_of_weights, load_encoder
from anaume.errors import UserError
from anaume.evals.jglue.grid import Grid
from anaume.evals.jglue.hold_out import HELD_OUT, divide, draw_part
from anaume.evals.jglue.protocols import run_held_out
from anaume.evals.jglue.scores import finite
from anaume.evals.jglue.trials import Trial
from anaume.evals.labelled.hub import PREFIX, local_file
from anaume.evals.labelled.read import read_labelled
from anaume.evals.ner import data as ner
from anaume.evals.ner.read import COLUMNS, PARQUET
from anaume.files import sha256
from anaume.files.outputs import require_own_folder, require_space
from anaume.finetune import COMMAND
from anaume.finetune.borders import Split, split_tokenizer
from anaume.finetune.examples import Example, Head
from anaume.finetune.folder import KINDS, write_model
from anaume.finetune.items import MAX_LENGTH, Encoded, encode
from anaume.finetune.metrics import accuracy, pearson, spearman
from anaume.finetune.train import BATCH, predict, steps_of, train
from anaume.progress import console_bar, say

Splits = dict[str, tuple[Example, ...]]
# The metric of each kind of task that settings are selected by.
METRICS = {"classes": "accuracy", "labels": "f1", "similarity": "pearson", "tokens": "f1"}


@dataclass(frozen=True)
class TuneData:
    """Data of a fine-tuning: the head that they need, and examples to train on and to measure.

    `task`   for entities, the task with their types
    `files`  file → its checksum
    """

    head: Head
    splits: Splits
    task: ner.EntityTask | None
    files: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """What was inferred, in one line for the terminal."""
        kind, _ = KINDS[self.head.kind]
        names = self.task.types if self.task else self.head.names
        pair = " of pairs" if len(self.splits["train"][0].texts) == 2 else ""
        listed = f": {', '.join(names)}" if self.head.kind != "similarity" else ""
        counts = f"{len(self.splits['train']):,} examples to train on, {len(self.splits['held_out']):,} held out"
        return f"{kind}{pair}{listed}; {counts}"


def finetune(
    model: str,
    data: str | Path,
    out: Path,
    grid: Grid,
    texts: Sequence[str] = (),
    label: str = "",
    split: str = "auto",
) -> Path:
    """Fine-tune `model` (a folder or Hub id) on `data` (a path, or "hub:NAME[:SUBSET[:SPLIT]]"), and write `out`.

    The kind of task is inferred from the data and printed. `texts` and `label` name columns, and `split` says where the
    tokenizer ends its pieces, for entities only. Of several settings of `grid`, those that score best on a tenth of the
    training examples are taken. They are trained with each seed; the first of these models is written, and the metrics
    are means over all of them.

    Raises:
        UserError: data, model or `out` can't be used, the disk has no space for the weights, or the training diverged.
            Nothing has been written then.
    """
    require_own_folder(out, COMMAND)
    ner.check_split(split)
    with local_file(data) as file:
        tune_data = read_data(file, texts, label, split, grid.seed)
    say(f"{data}: {tune_data.line}")
    for note in tune_data.notes:
        say(f"{data}: {note}")
    encoder = load_encoder(model, masked_lm=False)
    require_space(out, bytes_of_weights(encoder.model))
    max_length = min(MAX_LENGTH, encoder.max_length)
    tokenizer, chosen = _tokenizer(tune_data, encoder.tokenizer, max_length)
    trainings = Trainings(tune_data, model, encoder, tokenizer, max_length)
    outcome = run_held_out(grid.settings(), grid.seeds, METRICS[tune_data.head.kind], trainings)
    say(", ".join(f"{name} {value:.4f}" for name, value in list(outcome.metrics.items())[:3]))
    record = {
        "model": encoder.name,
        "data": str(data) if str(data).startswith(PREFIX) else Path(data).resolve().name,
        "kind": KINDS[tune_data.head.kind][0],
        "metrics": outcome.metrics,
        "n": len(tune_data.splits["held_out"]),
        "train": len(tune_data.splits["train"]),
        "truncated": {name: part.truncated for name, part in trainings.encoded[None].items()},
        "files": tune_data.files,
        "notes": list(tune_data.notes),
        **outcome.settings["selected"],
        "seeds": grid.seeds,
        "trainings": [row for group in outcome.groups for row in group.rows],
        "batch_size": BATCH,
        "max_length": max_length,
        **({"split": chosen} if tune_data.task else {}),
        "version": __version__,
    }
    example = tune_data.splits["held_out"][0].texts
    return write_model(trainings.network, tokenizer, tune_data.head, record, example, out)


@dataclass
class Trainings:
    """Runs trials in this process, and keeps the network of the first one that trains on all training examples.

    A trial with a `split_seed` trains on nine tenths of them and is scored on the last tenth; the others are scored on
    the examples that no training sees. `encoded` has the splits of each `split_seed`, which many trials share.
    """

    tune_data: TuneData
    model: str
    encoder: Encoder
    tokenizer: Any
    max_length: int
    network: Any = None
    encoded: dict[int | None, dict[str, Encoded]] = field(default_factory=dict)

    def __call__(self, trials: Sequence[Trial]) -> list[dict[str, Any]]:
        """Run the trials, and return what a trial's file would hold of each.

        Raises:
            UserError: the training with the selected settings diverged.
        """
        return [self._run(trial) for trial in trials]

    def _run(self, trial: Trial) -> dict[str, Any]:
        selecting, settings = trial.split_seed is not None, trial.settings
        encoded = self._encoded(trial.split_seed)
        steps = steps_of(len(encoded["train"].items), settings.epochs)
        about = f", rate {settings.learning_rate:g}, {settings.epochs} epochs" if selecting else ""
        head, device = self.tune_data.head, self.encoder.device
        with console_bar(f"finetune, {self.encoder.name}{about}", steps) as (_, advance):
            network = train(self.model, head, encoded, settings, device, lambda: advance(1), whole=True)
        outputs = predict(network, head.kind, encoded["held_out"].items)
        is_finite = finite(outputs)
        if not is_finite and not selecting:
            raise UserError(
                f"--learning-rates {settings.learning_rate:g}: the training diverged, and nothing was written; expected"
                " a lower one"
            )
        if self.network is None and not selecting:
            self.network = network
        scores = measure(self.tune_data, encoded["held_out"], outputs) if is_finite else {METRICS[head.kind]: 0.0}
        return {
            "metrics": {"held_out" if selecting else "validation": scores},
            "examples": {name: len(part.examples) for name, part in encoded.items()},
            "finite": is_finite,
        }

    def _encoded(self, split_seed: int | None) -> dict[str, Encoded]:
        if split_seed not in self.encoded:
            splits = self.tune_data.splits if split_seed is None else _part_of(self.tune_data, split_seed)
            self.encoded[split_seed] = {
                name: _encode(self.tune_data, self.tokenizer, part, self.max_length) for name, part in splits.items()
            }
        return self.encoded[split_seed]


def _part_of(tune_data: TuneData, seed: int) -> Splits:
    """The training examples as nine tenths to train on, and a tenth to select by."""
    if tune_data.task is not None:
        return ner.hold_out(tune_data.task, tune_data.splits["train"], seed)
    return _held_out(tune_data.splits["train"], seed)


def _held_out(examples: tuple[Example, ...], seed: int) -> Splits:
    drawn = draw_part([example.texts for example in examples], HELD_OUT, seed)
    if all(drawn):
        raise UserError(f"{len(examples)} examples: too few to hold out a tenth; expected more")
    return divide(examples, drawn, "held_out")


def read_data(data: Path, texts: Sequence[str], label: str, split: str, seed: int) -> TuneData:
    """Read a file or, for entities, a folder, and hold a part out: a fifth of a file of entities, a tenth of others.

    Raises:
        UserError: see `ner.read_task` and `read_labelled`; too few examples to hold any out.
    """
    if _has_entities(data):
        if texts or label:
            raise UserError(f"{data}: entities have no columns to choose; expected neither --text nor --label")
        read = ner.read_task(ner.EntityTask(split), data)
        assert isinstance(read.task, ner.EntityTask)
        splits = {"train": read.splits["train"], "held_out": read.splits["validation"]}
        return TuneData(read.task.head, splits, read.task, read.sha256, read.notes)
    labelled = read_labelled(data, texts, label)
    try:
        splits = _held_out(labelled.examples, seed)
    except UserError as error:
        raise UserError(f"{data}: {error}") from None
    if labelled.head.kind == "classes" and len({example.label for example in splits["train"]}) < labelled.head.classes:
        raise UserError(f"{data}: a class has too few examples to hold out a tenth; expected more of each class")
    return TuneData(labelled.head, splits, None, {data.name: sha256(data)})


def _has_entities(data: Path) -> bool:
    """Whether the data hold texts with entities: a folder, columns, or rows with `entities` or `tokens`."""
    if data.is_dir() or data.suffix in (*COLUMNS, *PARQUET):
        return True
    if data.suffix == ".csv":
        return False
    _, first = next(iter(read_rows(data)))
    return "entities" in first or "tokens" in first


def _tokenizer(tune_data: TuneData, tokenizer: Any, max_length: int) -> tuple[Any, Split]:
    """Return the tokenizer that the model is trained and saved with; for entities, print its ceiling."""
    if tune_data.task is None:
        return tokenizer, "none"
    chosen = ner.choose_split(tune_data.task, tokenizer, tune_data.splits["train"], max_length)
    say(chosen.line)
    return split_tokenizer(tokenizer, chosen.split), chosen.split


def _encode(tune_data: TuneData, tokenizer: Any, examples: tuple[Example, ...], max_length: int) -> Encoded:
    if tune_data.task is not None:  # the tokenizer is split already
        return ner.encode(replace(tune_data.task, split="none"), tokenizer, examples, max_length)
    return encode(tokenizer, tune_data.head.kind, examples, max_length, classes=tune_data.head.classes)


def measure(tune_data: TuneData, encoded: Encoded, outputs: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """Return the metrics of the held-out examples.

    `f1` of several labels counts each label of each example, at a probability of at least a half.
    """
    if tune_data.task is not None:
        return ner.measure(tune_data.task, encoded, outputs)
    if tune_data.head.kind == "labels":
        predicted = np.stack(outputs) >= 0
        right = np.array([item.target for item in encoded.items], dtype=bool)
        total = predicted.sum() + right.sum()
        return {
            "f1": float(2 * (predicted & right).sum() / total) if total else 0.0,
            "exact_match": float((predicted == right).all(axis=1).mean()),
        }
    labels = np.array([example.label for example in encoded.examples])
    if tune_data.head.kind == "similarity":
        values = np.array([output[0] for output in outputs], dtype=np.float64)
        return {"pearson": pearson(values, labels), "spearman": spearman(values, labels)}
    return {"accuracy": accuracy(np.array([output.argmax() for output in outputs], dtype=np.float64), labels)}
