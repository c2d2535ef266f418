"""Arguments of `anaume play` → opened models and runs, known by their names.

The rule: nothing here or in a tab tells a visitor the path of a folder, so tokenizers are renamed after their models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from anaume.encoder.load import Encoder, check_names, load_encoder, name_of, open_tokenizer
from anaume.encoder.modules import is_late, open_late
from anaume.encoder.pooling import Pooling, pooling_of
from anaume.errors import UserError
from anaume.export.checkpoint import export
from anaume.finetune.entities import label_names
from anaume.finetune.examples import Head
from anaume.finetune.items import MAX_LENGTH
from anaume.finetune.network import build_network
from anaume.model.opening import opening
from anaume.run import Run

_HEADS = ("ForSequenceClassification", "ForTokenClassification")


@dataclass(frozen=True)
class Embedder:
    """An encoder with the pooling of its folder; `fills` says whether it can fill in blanks too."""

    encoder: Encoder
    pooling: Pooling
    fills: bool


@dataclass(frozen=True)
class Late:
    """A late-interaction model: one vector a token, so it takes part in the search alone."""

    name: str
    tokenizer: Any
    network: Any


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned network. `kind` of the head is "tokens", "classes", "labels" or "similarity"."""

    name: str
    tokenizer: Any
    network: Any
    head: Head
    max_length: int


@dataclass(frozen=True)
class Served:
    """Everything that the page can show."""

    embedders: tuple[Embedder, ...] = ()
    late: tuple[Late, ...] = ()
    tuned: tuple[Tuned, ...] = ()
    runs: tuple[Run, ...] = ()

    @property
    def fillers(self) -> list[Encoder]:
        """The encoders that can fill in blanks."""
        return [embedder.encoder for embedder in self.embedders if embedder.fills]

    @property
    def tokenizers(self) -> dict[str, Any]:
        """The tokenizer of every model, by the model's name."""
        encoders = {embedder.encoder.name: embedder.encoder.tokenizer for embedder in self.embedders}
        models: list[Late | Tuned] = [*self.late, *self.tuned]
        return encoders | {model.name: model.tokenizer for model in models}

    def of_kind(self, *kinds: str) -> list[Tuned]:
        """The fine-tuned networks whose heads are of these kinds."""
        return [tuned for tuned in self.tuned if tuned.head.kind in kinds]


def open_models(arguments: Sequence[str], scratch: Path) -> Served:
    """Open models' folders, Hub ids and run directories.

    A run brings its curves and its latest export; a run that was never exported brings its last checkpoint, exported to
    a new folder in `scratch`, if it has a checkpoint already.

    Raises:
        UserError: a model can't be opened, or two have one name.
    """
    runs = tuple(Run(Path(argument)) for argument in arguments if is_run(argument))
    exports = [folder for number, run in enumerate(runs) if (folder := _export_of(run, scratch / str(number)))]
    models = [*(argument for argument in arguments if not is_run(argument)), *map(str, exports)]
    check_names(models)
    opened = [_open(model) for model in models]
    return Served(
        tuple(model for model in opened if isinstance(model, Embedder)),
        tuple(model for model in opened if isinstance(model, Late)),
        tuple(model for model in opened if isinstance(model, Tuned)),
        runs,
    )


def is_run(argument: str) -> bool:
    """Whether an argument is a run directory."""
    return Run(Path(argument)).exists


def _export_of(run: Run, scratch: Path) -> Path | None:
    names = run.checkpoints()
    exported = [run.export(name) for name in names if (run.export(name) / "config.json").is_file()]
    if exported or not names:
        return exported[-1] if exported else None
    scratch.mkdir()
    return export(run, names[-1], scratch / names[-1].model)


def _open(model: str) -> Embedder | Late | Tuned:
    tokenizer = open_tokenizer(model, masked_lm=False)
    if is_late(model):
        tokenizer.name_or_path = name_of(model)
        return Late(name_of(model), tokenizer, open_late(model))
    config = _config(model)
    architecture = str((config.architectures or [""])[0])
    if architecture.endswith(_HEADS):
        return _open_tuned(model, tokenizer, config, tokens=architecture.endswith(_HEADS[1]))
    fills = architecture.endswith("ForMaskedLM") and tokenizer.mask_token_id is not None
    encoder = load_encoder(model, masked_lm=fills)
    encoder.tokenizer.name_or_path = encoder.name
    return Embedder(encoder, pooling_of(model, "auto", encoder.device), fills)


def _config(model: str) -> Any:
    from transformers import AutoConfig

    from anaume.model.opening import safe_arguments

    with opening(model):
        return AutoConfig.from_pretrained(model, **safe_arguments())


def _open_tuned(model: str, tokenizer: Any, config: Any, *, tokens: bool) -> Tuned:
    names = tuple(str(config.id2label[number]) for number in range(config.num_labels))
    if tokens:
        types = entity_types(names)
        if label_names(types) != names:
            raise UserError(
                f"{model}: labels {', '.join(names)[:80]}: not those of entities; expected a model of `anaume finetune`"
            )
        head = Head("entities", "tokens", len(names), names)
    elif config.num_labels == 1:
        head = Head("regression", "similarity")
    else:
        several = config.problem_type == "multi_label_classification"
        head = Head("classes", "labels" if several else "classes", len(names), names)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = build_network(model, head, device).eval()
    name = name_of(model)
    tokenizer.name_or_path = name
    positions = int(getattr(config, "max_position_embeddings", MAX_LENGTH))
    length = min(MAX_LENGTH, positions, int(tokenizer.model_max_length))
    return Tuned(name, tokenizer, network, head, length)


def entity_types(names: Sequence[str]) -> tuple[str, ...]:
    """The types of entities of labels O, B-TYPE and I-TYPE."""
    return tuple(name.removeprefix("B-") for name in names if name.startswith("B-"))
