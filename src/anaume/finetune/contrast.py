"""Supervised contrastive fine-tuning: an encoder and labelled pairs of texts → a folder of a sentence encoder.

ruri is trained in this way, unlike the other models of the paper's Table 4 and Figure 3. The pairs come from
JGLUE's JNLI and JSTS, or from JSON lines of `query`, `positive`. The folder opens in sentence-transformers and in
`anaume eval`, and has no masked-LM head. The rule: a record of the training data is written into the folder.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerModelCardData,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import CoSENTLoss, MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.training_args import BatchSamplers
from torch import nn
from transformers import set_seed
from transformers.utils import logging

from anaume import __version__
from anaume.encoder.load import load_encoder
from anaume.encoder.tokenize import tokenize
from anaume.errors import UserError
from anaume.export.older_readers import rewrite_for_older_readers
from anaume.files import write_json
from anaume.files.outputs import output_folder, require_own_folder
from anaume.model.opening import opening, safe_arguments
from anaume.progress import say

COMMAND, RECORD = "contrast", "contrastive.json"
MARGIN_ROWS = 500  # rows of each set on which `cosine_margin` is measured
WARMUP = 0.1  # fraction of the steps; after it the learning rate falls linearly to zero

Columns: TypeAlias = dict[str, list[Any]]


@dataclass(frozen=True)
class ContrastSettings:
    """Settings of a contrastive training.

    `batch`        rows in a batch
    `temperature`  divisor of the cosines
    `max_length`   longest text in tokens; longer ones are truncated and counted
    """

    epochs: int
    learning_rate: float
    batch: int
    temperature: float
    max_length: int
    seed: int


@dataclass(frozen=True)
class TrainingSets:
    """Training data.

    `rows`    name of a set → columns of equal length. Rows with a `score` are ranked by it. In other sets, the texts of
              a row belong together, except for its `negative`.
    `sha256`  file → its checksum
    `notes`   remarks on the files, such as differences from the published ones
    """

    rows: dict[str, Columns]
    sha256: dict[str, str]
    notes: tuple[str, ...]


def train_embeddings(model: str, sets: TrainingSets, out: Path, training: ContrastSettings) -> Path:
    """Train the mean-pooled embeddings of `model` (a folder or Hub id), and write and return the folder `out`.

    Scored rows are trained with CoSENT's ranking loss, the others with cross entropy over the batch (InfoNCE). A batch
    holds rows of one set and no text twice. On a CPU, equal seeds give equal weights.

    Raises:
        UserError: the model can't be opened; `require_own_folder` refuses `out`.
    """
    require_own_folder(out, COMMAND)
    check_learnable(sets, training)
    encoder = load_encoder(model, masked_lm=False)
    max_length = min(training.max_length, encoder.max_length)
    texts = [text for columns in sets.rows.values() for name in columns if name != "score" for text in columns[name]]
    truncated = tokenize(replace(encoder, max_length=max_length), texts).truncated
    set_seed(training.seed)  # before loading, because a BERT without a pooler gets a random one
    network = _open(model)
    own_length = network.max_seq_length
    network.max_seq_length = max_length
    before = cosine_margin(network, sets.rows)
    loss = _fit(network, sets.rows, training)
    after = cosine_margin(network, sets.rows)
    if not math.isfinite(loss) or not all(p.isfinite().all() for p in network.parameters()):
        raise UserError(
            f"--learning-rate {training.learning_rate:g}: the training diverged, and nothing was written; expected a"
            " lower one"
        )
    say(f"loss {loss:.4f}; margin of the cosines {before:.4f} before, {after:.4f} after")
    network.max_seq_length = own_length
    record = {
        "model": encoder.name,
        "rows": {name: len(next(iter(columns.values()))) for name, columns in sets.rows.items()},
        "sha256": sets.sha256,
        "notes": sets.notes,
        **asdict(training),
        "max_length": max_length,
        "warmup": WARMUP,
        "truncated": truncated,
        "training_loss": loss,
        "cosine_margin": {"before": before, "after": after},
        "version": __version__,
    }
    with output_folder(out, COMMAND) as temporary:
        network.save_pretrained(str(temporary), create_model_card=False)
        rewrite_for_older_readers(temporary, encoder.model.config, own_length)
        write_json(temporary / RECORD, record)
    return out


def check_learnable(sets: TrainingSets, training: ContrastSettings) -> None:
    """Check, before any model is opened, that the sets and the settings can teach something.

    Raises:
        UserError: the learning rate or the temperature is not a positive number; a set without negatives has fewer
            than two different texts on one side, so that every batch would be a single row with the loss 0.
    """
    for name in ("learning_rate", "temperature"):
        if not 0 < (value := getattr(training, name)) < math.inf:
            raise UserError(f"--{name.replace('_', '-')} {value:g}: not usable; expected a finite number above 0")
    for name, columns in sets.rows.items():
        sides = [column for column in columns if column in ("anchor", "positive")]
        poor = [side for side in sides if len(set(columns[side])) < 2]
        if poor and "negative" not in columns:
            raise UserError(
                f"{name}: all rows share one {poor[0]}, so no row has a negative and nothing can be learnt; expected"
                " two or more different ones"
            )


@torch.inference_mode()
def cosine_margin(network: SentenceTransformer, rows: Mapping[str, Columns]) -> float:
    """The mean cosine of texts that belong together minus that of texts of neighbouring rows, on a sample of rows.

    In scored sets, those with a score of at least half the highest belong together.
    """
    left, right = [], []
    for columns in rows.values():
        first, second = (columns[name] for name in list(columns)[:2])
        scores = columns.get("score", [1.0] * len(first))
        for a, b, score in list(zip(first, second, scores, strict=True))[:MARGIN_ROWS]:
            if score >= max(scores) / 2:
                left.append(a)
                right.append(b)
    vectors = [
        torch.nn.functional.normalize(
            network.encode(texts, convert_to_tensor=True, show_progress_bar=False).float(), dim=1
        )
        for texts in (left, right)
    ]
    together = (vectors[0] * vectors[1]).sum(1).mean()
    return float(together - (vectors[0] * vectors[1].roll(1, 0)).sum(1).mean())


def _open(model: str) -> SentenceTransformer:
    """Open a model with its folder's own pooling, or mean pooling if it has none, without asking the Hub for cards."""
    logging.set_verbosity_error()  # silences a table of the masked-LM head's weights, which are left out on purpose
    logging.disable_progress_bar()
    card = SentenceTransformerModelCardData(local_files_only=True)
    with opening(model):
        return SentenceTransformer(
            model, model_kwargs={"dtype": torch.float32}, model_card_data=card, **safe_arguments()
        )


def _fit(model: SentenceTransformer, rows: Mapping[str, Columns], training: ContrastSettings) -> float:
    """Train `model` in place, and return the mean loss over the steps."""
    scale = 1 / training.temperature
    losses: dict[str, nn.Module] = {
        name: CoSENTLoss(model, scale) if "score" in columns else MultipleNegativesRankingLoss(model, scale)
        for name, columns in rows.items()
    }
    cuda = torch.cuda.is_available()
    with TemporaryDirectory() as folder:
        trainer = _Trainer(
            model=model,
            args=SentenceTransformerTrainingArguments(
                output_dir=folder,
                num_train_epochs=training.epochs,
                learning_rate=training.learning_rate,
                per_device_train_batch_size=training.batch,
                warmup_steps=WARMUP,
                batch_sampler=BatchSamplers.NO_DUPLICATES,
                seed=training.seed,
                bf16=cuda,
                dataloader_pin_memory=cuda,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=False,
            ),
            train_dataset={name: Dataset.from_dict(columns) for name, columns in rows.items()},
            loss=losses,
        )
        return float(trainer.train().training_loss)


class _Trainer(SentenceTransformerTrainer):
    """A trainer that shows its bar, writes no model card, and prints nothing to standard output."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        pass

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        pass
