"""A folder or Hub id → an opened encoder with its tokenizer, or one line that says why it can't be opened."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM
from transformers.utils.hub import cached_file

from anaume.errors import UserError
from anaume.files import cached_sha256
from anaume.files.objects import read_object
from anaume.files.outputs import MARK
from anaume.model.opening import check_files, opening, quiet_transformers, safe_arguments
from anaume.remote_code import remote_code_allowed
from anaume.run import CheckpointName
from anaume.tokenizer.auto import open_auto_tokenizer

# The files on which a model's numbers depend; its README does not count. Those of the last line are of
# sentence-transformers, and say how hidden states become a vector.
MODEL_FILES = (
    *("config.json", "*.safetensors", "*.bin", "*.model", "vocab*", "tokenizer*", "special_tokens_map.json"),
    *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"),
)

_TEXT = "あ a"  # An encoding of it shows the special ids around a text.


@dataclass(frozen=True)
class Encoder:
    """A model ready for evaluation, in float32 and in evaluation mode.

    `name`        the folder's name, or the Hub id
    `tokenizer`   a transformers tokenizer, fast or slow
    `model`       an AutoModelForMaskedLM if it was opened with `masked_lm`, otherwise an AutoModel
    `max_length`  longest input in tokens, special tokens included; longer texts are truncated and counted
    `revision`    identifies the weights, see `revision_of`; empty for a model made in memory
    """

    name: str
    tokenizer: Any
    model: Any
    max_length: int
    device: torch.device
    revision: str = ""


def load_encoder(path_or_id: str, *, masked_lm: bool) -> Encoder:
    """Open a local folder or a Hub id.

    Raises:
        UserError: the model doesn't exist or can't be opened, some of its weights are missing (without a masked-LM
            head it would run with a random one), or its tokenizer has no mask token although `masked_lm` is set.
    """
    tokenizer = open_tokenizer(path_or_id, masked_lm=masked_lm)
    auto_class = AutoModelForMaskedLM if masked_lm else AutoModel
    with opening(path_or_id), quiet_transformers(bars=not Path(path_or_id).is_dir()):
        # float32 whatever the checkpoint holds: half precision is slow on a CPU, and numbers must be comparable.
        model, info = auto_class.from_pretrained(
            path_or_id, dtype=torch.float32, output_loading_info=True, **safe_arguments()
        )
        _check_vocabulary(path_or_id, tokenizer, model)
        max_length = _max_length(tokenizer, model)
        prefix, suffix = special_ids(tokenizer)
        row = torch.tensor([[*prefix, *suffix] or [0]])
        with torch.inference_mode():  # an impossible config opens, and fails at its first batch
            model.eval()(input_ids=row, attention_mask=torch.ones_like(row))
        if max_length <= len(prefix) + len(suffix):
            raise ValueError(f"its longest input is {max_length} tokens")
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)  # mean pooling needs no pooler
    if missing:
        what = "a masked language model" if masked_lm else "an encoder"
        raise UserError(f"{path_or_id}: lacks weights of {what}: {', '.join(missing[:3])}")
    if broken := next((name for name, p in model.named_parameters() if not p.isfinite().all()), ""):
        raise UserError(
            f"{path_or_id}: its weights {broken} are not finite; expected numbers (a training that diverged?)"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Encoder(name_of(path_or_id), tokenizer, model.to(device), max_length, device, revision_of(path_or_id))


def open_tokenizer(path_or_id: str, *, masked_lm: bool) -> Any:
    """Open a model's tokenizer after checking its config, which reveals most mistakes before any weights are read.

    Raises:
        UserError: see `load_encoder`.
    """
    check_files(path_or_id)
    with opening(path_or_id):
        AutoConfig.from_pretrained(
            path_or_id, **safe_arguments()
        )  # first: without a config the tokenizer's error is obscure
        tokenizer = open_auto_tokenizer(path_or_id)
        special_ids(tokenizer)  # a damaged tokenizer opens, and fails at its first text
        mask = tokenizer.mask_token_id
    if masked_lm and mask is None:
        raise UserError(f"{path_or_id}: its tokenizer has no mask token; expected a masked language model")
    return tokenizer


@lru_cache(maxsize=16)
def special_ids(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids that the tokenizer puts before and after a text, for example `((CLS,), (SEP,))`.

    Raises:
        UserError: the tokenizer does something else than adding ids at both ends.
    """
    # A vocabulary without unknown token drops the characters of another script, so the text has two scripts.
    full = tokenizer(_TEXT)["input_ids"]
    bare = tokenizer(_TEXT, add_special_tokens=False)["input_ids"]
    starts = [i for i in range(len(full) - len(bare) + 1) if full[i : i + len(bare)] == bare]
    if not starts:
        raise UserError(
            f"{tokenizer.name_or_path}: without special tokens its tokenizer encodes {_TEXT!r} as {bare}, with them as"
            f" {full}; expected a tokenizer that only adds ids at both ends"
        )
    return tuple(full[: starts[0]]), tuple(full[starts[0] + len(bare) :])


def _check_vocabulary(path_or_id: str, tokenizer: Any, model: Any) -> None:
    """Refuse a tokenizer with ids for which the network has no row."""
    rows = model.get_input_embeddings().num_embeddings
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= rows:
        raise UserError(
            f"{path_or_id}: its tokenizer has ids up to {largest}, and its network {rows} rows; expected a tokenizer of"
            " this network"
        )


def _max_length(tokenizer: Any, model: Any) -> int:
    limits = [int(tokenizer.model_max_length)]  # 10^30 where the tokenizer states none
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions and positions > 0:
        table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
        # RoBERTa and its family begin to count positions after the padding index: 514 rows hold 512 tokens.
        padding = table.padding_idx if isinstance(table, nn.Embedding) else None
        limits.append(positions if padding is None else positions - padding - 1)
    return min(limits)


def bytes_of_weights(model: nn.Module) -> int:
    """Return the bytes that the weights of a network take on disk."""
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())


def name_of(path_or_id: str) -> str:
    """Return the name of a model: the folder's name, or the Hub id.

    All runs call the folder of an export "STAGE-step-N", so the name of the run is put before such a name.
    """
    folder = Path(path_or_id)
    if not folder.is_dir():
        return path_or_id
    name, mark = folder.resolve().name, folder / MARK
    if mark.is_file():
        facts = read_object(mark, "the mark of an export", {"run": str, "stage": str, "step": int}, required=False)
        if facts.get("run") and name == CheckpointName(facts.get("stage", ""), facts.get("step", 0)).model:
            return f"{facts['run']}-{name}"
    return name


def check_names(models: Sequence[str]) -> None:
    """Refuse models that share a name, because their lines could not be told apart.

    Raises:
        UserError: names the first such model.
    """
    names = [name_of(model) for model in models]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise UserError(f"two models are called {min(repeated)!r}; expected a name for each, so rename a folder")


def revision_of(path_or_id: str) -> str:
    """Return a checksum of a folder's model files, or the commit of a Hub id, which must have been opened before.

    The modules of sentence-transformers count: other pooling makes another model of the same weights.
    """
    folder = Path(path_or_id)
    if not folder.is_dir():
        file = cached_file(path_or_id, "config.json")  # …/snapshots/COMMIT/config.json
        assert file
        return Path(file).parent.name
    patterns = (*MODEL_FILES, "*.py") if remote_code_allowed() else MODEL_FILES  # code that cannot run changes nothing
    below = (file for module in _module_folders(folder) for file in module.rglob("*"))
    files = sorted({path for path in (*chain.from_iterable(map(folder.glob, patterns)), *below) if path.is_file()})
    lines = [f"{path.relative_to(folder).as_posix()} {cached_sha256(path)}\n" for path in files]
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def _module_folders(folder: Path) -> list[Path]:
    """Return the folders of a model's sentence-transformers modules, such as 1_Pooling; none for a damaged list."""
    try:
        modules = json.loads((folder / "modules.json").read_bytes())
        names = [module["path"] for module in modules if module["path"]]
        return [path for name in names if folder.resolve() in (path := folder / name).resolve().parents]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []
