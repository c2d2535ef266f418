"""The masked language model: Hugging Face's ModernBERT on packed rows, with logits only at the scored slots.

Shapes: T token slots of a micro-batch, M scored slots (a fixed number; unused ones are labelled IGNORE), V vocabulary.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import ModernBertConfig, ModernBertForMaskedLM
from transformers.models.modernbert.modeling_modernbert import ModernBertRotaryEmbedding

from anaume.batches.batch import IGNORE, PackedBatch
from anaume.errors import UserError
from anaume.files import sealed
from anaume.files.objects import read_object
from anaume.model.attention import PACKED, Layout, layout_of
from anaume.model.cross_entropy import ROWS, linear_cross_entropy
from anaume.model.init import layer_types, new_pieces_of, open_init
from anaume.model.memory import VOCABULARY_MULTIPLE
from anaume.model.opening import opening
from anaume.model.packed import packed_states
from anaume.recipe import Model, Precision
from anaume.tokenizer.load import Tokenizer

CPU = torch.device("cpu")
# The setting of a kept configuration that tells the vocabulary's rows without padding. Older runs do not have it.
_ROWS = "unpadded_vocab_size"
# The bias of a padding row. Its probability is then exactly 0 in float32 and bfloat16, and the loss is unchanged.
PADDING_BIAS = -1e4


@dataclass(frozen=True)
class ModelInputs:
    """A PackedBatch on the model's device."""

    input_ids: Tensor  # (1, T)
    position_ids: Tensor  # (1, T)
    scored: Tensor  # (M,)
    labels: Tensor  # (M,)
    layout: Layout


def to_device(batch: PackedBatch, max_length: int, device: torch.device) -> ModelInputs:
    """Copy a batch to `device`. `max_length` is the stage's length, an upper bound on the length of a piece."""
    ids, positions, scored, labels = (
        tensor_to_device(torch.from_numpy(array), device)
        for array in (batch.input_ids, batch.position_ids, batch.scored, batch.labels)
    )
    return ModelInputs(
        ids.unsqueeze(0),
        positions.unsqueeze(0),
        scored,
        labels,
        layout_of(batch.lengths.tolist(), max_length, device, batch.causal),
    )


def tensor_to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to `device`; from pinned memory to CUDA, so that the host does not wait for the copy."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def config(model: Model, tokenizer: Tokenizer, vocab_size: int) -> ModernBertConfig:
    """The ModernBERT configuration for a recipe's model, with the tokenizer's special ids."""
    return ModernBertConfig(
        vocab_size=vocab_size,
        hidden_size=model.hidden,
        intermediate_size=model.intermediate,
        num_hidden_layers=model.layers,
        num_attention_heads=model.heads,
        max_position_embeddings=model.positions,
        local_attention=model.window,
        layer_types=layer_types(model.layers, model.global_every),
        pad_token_id=tokenizer.pad_id,
        bos_token_id=tokenizer.cls_id,
        cls_token_id=tokenizer.cls_id,
        eos_token_id=tokenizer.sep_id,
        sep_token_id=tokenizer.sep_id,
    )


def build(
    model: Model, tokenizer: Tokenizer, seed: int, device: torch.device = CPU, kept: Path | None = None
) -> ModernBertForMaskedLM:
    """A network on `device` with seeded weights or those of `model.init`. Its vocabulary is padded to a multiple of 64.

    Rows of pieces that `tokenizer` adds to the checkpoint's begin at the mean of the rows of their old pieces.

    `kept` is a file that `keep_config` wrote. If it exists, the network is built from it with seeded weights, and
    `init` is not opened: the caller loads the weights of a checkpoint. Older runs do not have the file.

    Raises:
        UserError: see `init.open_init`; the tokenizer is neither the checkpoint's nor an extension of it.
    """
    kept_config = _kept_config(kept) if kept and kept.exists() else None
    if model.init and not kept_config:
        network = open_init(model)
        _add_pieces(network, new_pieces_of(model, tokenizer, network.config.vocab_size), tokenizer.vocab_size)
        rows = network.config.vocab_size
    else:
        with torch.random.fork_rng(devices=[]), opening(str(kept or "model")):
            torch.manual_seed(seed)
            network = ModernBertForMaskedLM(kept_config or config(model, tokenizer, tokenizer.vocab_size))
        rows = getattr(kept_config, _ROWS, tokenizer.vocab_size)
    network.config._attn_implementation = PACKED
    _pad_vocabulary(network, rows)
    setattr(network.config, _ROWS, rows)
    nn.Module.to(network, device)
    return network


def keep_config(network: ModernBertForMaskedLM, file: Path) -> None:
    """Write every value of the network's configuration, so that `build` can build it again."""
    sealed.write(file, json.loads(network.config.to_json_string(use_diff=False)))


def _kept_config(file: Path) -> ModernBertConfig:
    """The configuration that `keep_config` wrote; older runs have no checksum in it."""
    read_object(file, "the configuration of a network")
    if sealed.is_sealed(file) and not sealed.is_unchanged(file):
        raise UserError(f"{file}: changed since it was written (checksum); expected the file of the run")
    with opening(str(file)):
        return ModernBertConfig(**sealed.read(file))


def _add_pieces(network: ModernBertForMaskedLM, parts: list[list[int]], pieces: int) -> None:
    """Set the rows and biases of the last of `pieces` ids, each to the mean of those of its old ids in `parts`.

    The mean of the parts is near what the layers expect at the place of the word, unlike a random row (Hewitt, 2021).
    """
    resize_vocabulary(network, max(network.config.vocab_size, pieces))
    with torch.no_grad():
        for rows in (network.decoder.weight, network.decoder.bias):
            for index, ids in enumerate(parts, pieces - len(parts)):
                rows[index] = rows[ids].mean(0)


def _pad_vocabulary(network: ModernBertForMaskedLM, vocab_size: int) -> None:
    padded = -(-vocab_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
    resize_vocabulary(network, padded)
    with torch.no_grad():
        network.decoder.bias[vocab_size:] = PADDING_BIAS


def remove_padding(network: ModernBertForMaskedLM) -> None:
    """Cut the vocabulary to the rows that `build` started from: those of the tokenizer or of `model.init`."""
    resize_vocabulary(network, getattr(network.config, _ROWS))
    delattr(network.config, _ROWS)


def resize_vocabulary(network: ModernBertForMaskedLM, vocab_size: int) -> None:
    """Cut the tied matrix and the decoder's bias to `vocab_size` rows, or pad them with zeros."""
    embedding = network.model.embeddings.tok_embeddings
    missing = vocab_size - embedding.num_embeddings
    with torch.no_grad():
        weight, bias = (
            F.pad(x, (0, 0) * (x.dim() - 1) + (0, missing)) for x in (embedding.weight, network.decoder.bias)
        )
    embedding.weight = network.decoder.weight = nn.Parameter(weight)
    network.decoder.bias = nn.Parameter(bias)
    embedding.num_embeddings = network.decoder.out_features = network.config.vocab_size = vocab_size


def set_rope_theta(network: ModernBertForMaskedLM, theta: float, local_theta: float = 0.0) -> None:
    """Set the RoPE theta of global and local layers; a local theta of 0 means the global one, as in the paper.

    0 for both restores the values with which the network was built. Theta is not a weight, so each stage may set it;
    the network's configuration is not changed.
    """
    changed: Any = copy.deepcopy(network.config)
    for kind, value in (("full_attention", theta), ("sliding_attention", local_theta or theta)):
        if value:
            changed.rope_parameters[kind]["rope_theta"] = value
    network.model.rotary_emb = ModernBertRotaryEmbedding(changed, device=network.device)


def set_gradient_checkpointing(network: ModernBertForMaskedLM, on: bool) -> None:
    """Keep only the input of each layer and recompute the layer in the backward pass: less memory, more time."""
    if on:
        network.activation_checkpointing_enable({"use_reentrant": False})
    else:
        network.activation_checkpointing_disable()


def scored_states(network: ModernBertForMaskedLM, inputs: ModelInputs) -> Tensor:
    """The decoder's input at the scored slots, (M, hidden). The head skips all other slots (70 %)."""
    states = packed_states(network.model, inputs.input_ids, inputs.position_ids, inputs.layout)
    scored: Tensor = network.head(states.index_select(0, inputs.scored))
    return scored


def product_dtype(device: torch.device, precision: Precision = "auto") -> torch.dtype:
    """The dtype of matrix products in this precision; "auto" is bfloat16 on CUDA and float32 elsewhere."""
    in_bfloat16 = device.type == "cuda" if precision == "auto" else precision == "bfloat16"
    return torch.bfloat16 if in_bfloat16 else torch.float32


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 instructions; without them a large product takes hundreds of times as long."""
    if device.type != "cpu":
        return True
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def training_precision(device: torch.device, precision: Precision) -> Precision:
    """The precision in which a new run trains: "auto" is bfloat16 where the device has instructions for it."""
    if precision != "auto":
        return precision
    return "bfloat16" if multiplies_bfloat16(device) else "float32"


def mixed_precision(device: torch.device, precision: Precision = "auto") -> torch.autocast:
    """Multiply matrices in `product_dtype` within this block; weights and the residual stream stay float32."""
    dtype = product_dtype(device, precision)
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


def loss_sum(network: ModernBertForMaskedLM, inputs: ModelInputs, precision: Precision = "auto") -> Tensor:
    """Sum of the cross entropies (nats) over the scored tokens, (). The caller divides by their number."""
    decoder = network.decoder
    with mixed_precision(inputs.input_ids.device, precision):
        return linear_cross_entropy(scored_states(network, inputs), decoder.weight, decoder.bias, inputs.labels)


@torch.inference_mode()
def scores(network: ModernBertForMaskedLM, inputs: ModelInputs, precision: Precision = "auto") -> tuple[Tensor, Tensor]:
    """Cross entropy in nats and whether the first guess is right at each scored slot, (M,) each; 0 in unused slots."""
    losses, right = [], []
    with mixed_precision(inputs.input_ids.device, precision):
        states = scored_states(network, inputs)
        for block, labels in zip(states.split(ROWS), inputs.labels.split(ROWS), strict=True):
            logits = network.decoder(block).float()
            losses.append(F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none"))
            right.append(logits.argmax(-1) == labels)
    return torch.cat(losses), torch.cat(right)


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """The parameters by name, as a checkpoint stores them; tied parameters appear once."""
    return {name: parameter.detach() for name, parameter in network.named_parameters()}


def load_weights(network: nn.Module, files: Sequence[Path]) -> None:
    """Set the weights to the mean of those in `files`, each of which holds the content of `weights_of`.

    Raises:
        UserError: a file holds the weights of another network.
    """
    with torch.no_grad():
        for number, file in enumerate(files):
            weights = load_file(file)
            shapes = {name: parameter.shape for name, parameter in network.named_parameters()}
            if shapes != {name: weight.shape for name, weight in weights.items()}:
                raise UserError(f"{file}: its weights are those of another network; expected those of the run's own")
            for name, parameter in network.named_parameters():
                parameter.lerp_(weights[name].to(parameter.device), 1 / (number + 1))
