"""Supervised contrastive fine-tuning: an encoder and rows of texts → a folder of a sentence encoder.

ruri is trained in this way, unlike the other models of the paper's Table 4 and Figure 3. The folder opens in
sentence-transformers and in `anaume eval`, and has no masked-LM head. The rule: a record of the training data is
written into the folder.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import (
    MultiVectorEncoder,
    MultiVectorEncoderTrainer,
    MultiVectorEncoderTrainingArguments,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.training_args import BatchSamplers
from transformers import Trainer, set_seed

from anaume import __version__
from anaume.encoder.load import bytes_of_weights, load_encoder
from anaume.encoder.modules import open_late, open_single_vector
from anaume.encoder.tokenize import tokenize
from anaume.errors import UserError
from anaume.export.older_readers import rewrite_modules_for_older_readers, rewrite_network_for_older_readers
from anaume.files import write_json
from anaume.files.outputs import output_folder, require_own_folder, require_space
from anaume.finetune.contrast import COMMAND
from anaume.finetune.contrast.losses import loss_of
from anaume.finetune.contrast.sets import Columns, ContrastSettings, TrainingSets, check_learnable, texts_of
from anaume.model.opening import quiet_transformers
from anaume.progress import say

RECORD = "contrastive.json"
MARGIN_ROWS = 500  # rows of each set on which `margin` is measured
WARMUP = 0.1  # fraction of the steps; after it the learning rate falls linearly to zero


def train_embeddings(model: str, sets: TrainingSets, out: Path, training: ContrastSettings) -> Path:
    """Train the embeddings of `model` (a folder or Hub id), and write and return the folder `out`.

    A batch holds rows of one set and no text twice. On a CPU, equal seeds give equal weights.

    Raises:
        UserError: the model can't be opened, or has fewer dimensions than asked for; the disk has no space for the
            weights; the training diverged; see also `check_learnable` and `require_own_folder`.
    """
    require_own_folder(out, COMMAND)
    check_learnable(sets, training)
    encoder = load_encoder(model, masked_lm=False)
    max_length = min(training.max_length, encoder.max_length)
    texts = [text for columns in sets.rows.values() for text in texts_of(columns)]
    truncated = tokenize(replace(encoder, max_length=max_length), texts).truncated
    set_seed(training.seed)  # before loading: the projection of late interaction and a missing pooler are random
    network: Any = open_late(model) if training.late else open_single_vector(model)
    _check_dimensions(network, training)
    require_space(out, bytes_of_weights(network))
    own_length = network.max_seq_length
    network.max_seq_length = max_length
    before = margin(network, sets.rows)
    loss = _fit(network, sets.rows, training)
    after = margin(network, sets.rows)
    if not math.isfinite(loss) or not all(p.isfinite().all() for p in network.parameters()):
        raise UserError(
            f"--learning-rate {training.learning_rate:g}: the training diverged, and nothing was written; expected a"
            " lower one"
        )
    of_what = "MaxSim" if training.late else "the cosines"
    say(f"loss {loss:.4f}; margin of {of_what} {before:.4f} before, {after:.4f} after")
    network.max_seq_length = own_length
    record = {
        "model": encoder.name,
        "rows": {name: len(next(iter(columns.values()))) for name, columns in sets.rows.items()},
        "sha256": dict(sets.sha256),
        "notes": sets.notes,
        **asdict(training),
        "max_length": max_length,
        "warmup": WARMUP,
        "truncated": truncated,
        "training_loss": loss,
        "margin": {"of": of_what, "before": before, "after": after},
        "version": __version__,
    }
    with output_folder(out, COMMAND) as temporary:
        with quiet_transformers(bars=False):
            network.save_pretrained(str(temporary), create_model_card=False)
        rewrite_network_for_older_readers(temporary, encoder.model.config)
        if not training.late:  # older versions of sentence-transformers have no late interaction
            rewrite_modules_for_older_readers(temporary, own_length)
        write_json(temporary / RECORD, record)
    return out


def _check_dimensions(network: Any, training: ContrastSettings) -> None:
    whole = network.get_embedding_dimension()
    if unfit := [size for size in training.dimensions if not 1 <= size <= whole]:
        raise UserError(f"--dimensions {unfit[0]}: the embedding has {whole}; expected numbers from 1 to {whole}")


@torch.inference_mode()
def margin(network: Any, rows: Mapping[str, Columns]) -> float:
    """The mean similarity of texts that belong together minus that of texts of neighbouring rows, on a sample of rows.

    The similarity is the cosine, or MaxSim for late interaction. In scored sets, rows with a score of at least half the
    highest belong together.
    """
    left, right = [], []
    for columns in rows.values():
        first, second = (columns[name] for name in list(columns)[:2])
        scores = columns.get("score", [1.0] * len(first))
        for a, b, score in list(zip(first, second, scores, strict=True))[:MARGIN_ROWS]:
            if score >= max(scores) / 2:
                left.append(a)
                right.append(b)
    if isinstance(network, MultiVectorEncoder):
        queries = network.encode_query(left, show_progress_bar=False)
        documents = network.encode_document(right, show_progress_bar=False)
        together = network.similarity_pairwise(queries, documents)
        return float((together - network.similarity_pairwise(queries, [documents[-1], *documents[:-1]])).mean())
    embedded = (network.encode(texts, convert_to_tensor=True, show_progress_bar=False) for texts in (left, right))
    vectors = [torch.nn.functional.normalize(of_texts.float(), dim=1) for of_texts in embedded]
    together = (vectors[0] * vectors[1]).sum(1)
    return float((together - (vectors[0] * vectors[1].roll(1, 0)).sum(1)).mean())


def _fit(network: Any, rows: Mapping[str, Columns], training: ContrastSettings) -> float:
    """Train `network` in place, and return the mean loss over the steps."""
    cuda = torch.cuda.is_available()
    trainer_class, arguments_class = _TRAINERS[training.late]
    with TemporaryDirectory() as folder:
        trainer = trainer_class(
            model=network,
            args=arguments_class(
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
            loss={name: loss_of(network, columns, training) for name, columns in rows.items()},
        )
        return float(trainer.train().training_loss)


class _Quiet(Trainer):
    """A trainer that shows its bar, writes no model card, and prints nothing to standard output.

    The warm-up is rounded down. Rounded up, it would be the whole of a training of one step, whose learning rate is 0.
    """

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        self.args.warmup_steps = int(WARMUP * num_training_steps)
        return super().create_scheduler(num_training_steps, optimizer)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        pass

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        pass


class _SingleVectorTrainer(_Quiet, SentenceTransformerTrainer):
    pass


class _LateTrainer(_Quiet, MultiVectorEncoderTrainer):
    pass


_TRAINERS: dict[bool, tuple[Any, Any]] = {
    False: (_SingleVectorTrainer, SentenceTransformerTrainingArguments),
    True: (_LateTrainer, MultiVectorEncoderTrainingArguments),
}
