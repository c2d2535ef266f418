"""Supervised contrastive fine-tuning: an encoder and pairs of texts → a folder whose embeddings are made for cosines.

What separates ruri from the other rows of the paper's Table 4 and Figure 3. In: JGLUE's JNLI, its JSTS, or JSON lines
of `query`, `positive`. Out: a folder that sentence-transformers and `anaume eval` open, without the masked-LM head.
The rule: only training splits are read, and what was read is written into the folder.
"""

import json
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
from transformers import PreTrainedConfig, set_seed
from transformers.utils import logging

from anaume import __version__
from anaume.encoder.load import load_encoder
from anaume.encoder.tokenize import tokenize
from anaume.errors import UserError
from anaume.export.checkpoint import OLDER_SPELLING
from anaume.files import folder_atomic, write_json

RECORD = "contrastive.json"
WARMUP = 0.1  # of the steps; then down to zero in a straight line

Columns: TypeAlias = dict[str, list[Any]]


@dataclass(frozen=True)
class ContrastSettings:
    """How to train.

    `batch`        rows
    `temperature`  what cosines are divided by
    `max_length`   tokens; longer texts are cut and counted
    """

    epochs: int
    learning_rate: float
    batch: int
    temperature: float
    max_length: int
    seed: int


@dataclass(frozen=True)
class TrainingSets:
    """What to train on.

    `rows`    name → columns of equal length; those with a `score` are ranked by it, in the others the texts of a row
              belong together, but for `negative`
    `sha256`  file → its checksum
    `notes`   what is odd about the files
    """

    rows: dict[str, Columns]
    sha256: dict[str, str]
    notes: tuple[str, ...]


def train_embeddings(model: str, sets: TrainingSets, out: Path, training: ContrastSettings) -> Path:
    """Train the mean-pooled embeddings of `model` (a folder or Hub id) and write the folder `out`.

    Scored rows are trained with CoSENT's ranking loss, the others with cross entropy over the batch (InfoNCE); a batch
    holds rows of one set and no text twice. The same seed gives the same weights on a CPU.

    Raises:
        UserError: the model can't be opened; `out` is not empty.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: exists; --out accepts a new folder or an empty one")
    checked = load_encoder(model, masked_lm=False)
    max_length = min(training.max_length, checked.max_length)
    texts = [text for columns in sets.rows.values() for name in columns if name != "score" for text in columns[name]]
    truncated = tokenize(replace(checked, max_length=max_length), texts).truncated
    set_seed(training.seed)  # before loading: a BERT without a pooler gets a random one
    opened = _open(model)
    whole = opened.max_seq_length
    opened.max_seq_length = max_length
    loss = _fit(opened, sets.rows, training)
    opened.max_seq_length = whole
    record = {
        "model": checked.name,
        "rows": {name: len(next(iter(columns.values()))) for name, columns in sets.rows.items()},
        "sha256": sets.sha256,
        "notes": sets.notes,
        **asdict(training),
        "max_length": max_length,
        "warmup": WARMUP,
        "truncated": truncated,
        "training_loss": loss,
        "version": __version__,
    }
    with folder_atomic(out) as temporary:
        opened.save_pretrained(str(temporary), create_model_card=False)
        _keep_older_spelling(model, temporary / "config.json")
        write_json(temporary / RECORD, record)
    return out


def _open(model: str) -> SentenceTransformer:
    """The model with mean pooling if its folder asks for no other; the Hub is not asked for model cards."""
    logging.set_verbosity_error()  # a table of the masked-LM head's weights, which are meant to be left out
    logging.disable_progress_bar()
    card = SentenceTransformerModelCardData(local_files_only=True)
    return SentenceTransformer(model, model_kwargs={"dtype": torch.float32}, model_card_data=card)


def _keep_older_spelling(model: str, saved: Path) -> None:
    given, _ = PreTrainedConfig.get_config_dict(model)
    kept = {key: given[key] for key in OLDER_SPELLING if key in given}
    write_json(saved, json.loads(saved.read_text(encoding="utf-8")) | kept)


def _fit(model: SentenceTransformer, rows: Mapping[str, Columns], training: ContrastSettings) -> float:
    """Train `model` in place; returns the mean loss of the steps."""
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
    """Shows its bar, writes no model card, and leaves standard output to the verb."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        pass

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        pass
