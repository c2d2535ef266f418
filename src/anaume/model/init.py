"""`model.init`, a ModernBERT checkpoint to continue from → the recipe's shape, and the network.

The rule: everything about the checkpoint is checked before any long work. What the recipe
gives must agree with the checkpoint, except for the longest input: RoPE has no table, so a longer stage extends it.
"""

from typing import Any

import torch
from transformers import AutoConfig, ModernBertConfig, ModernBertForMaskedLM

from anaume.errors import UserError
from anaume.model.opening import check_files, opening, quiet_transformers, safe_arguments
from anaume.recipe import Model, Recipe
from anaume.tokenizer.extend.parts import parts_of_new_pieces
from anaume.tokenizer.load import Tokenizer, load_tokenizer

# Settings that the packed path supports with one value only; a checkpoint's other settings are used as they are.
_FIXED_VALUES = {
    "attention_dropout": 0,
    "embedding_dropout": 0,
    "mlp_dropout": 0,
    "decoder_bias": True,
    "tie_word_embeddings": True,
}


def with_shape_of_init(recipe: Recipe, begun: Model | None = None) -> Recipe:
    """Return the recipe with the shape of `model.init`, or the recipe itself if it has no `init`.

    `begun` is the network of the run's own recipe, if the run has begun: the checkpoint is then not opened again.

    Raises:
        UserError: the checkpoint's config can't be opened or continued, or differs from what the recipe gives.
    """
    if not recipe.model.init:
        return recipe
    shape = begun.model_dump(exclude={"init"}) if begun else shape_of(open_config(recipe.model))
    taken = {key: value for key, value in shape.items() if key not in recipe.model.model_fields_set}
    if "positions" in taken:
        taken["positions"] = max(taken["positions"], *(stage.length for stage in recipe.stage))
    return recipe.model_copy(update={"model": recipe.model.model_copy(update=taken)})


def shape_of(config: ModernBertConfig) -> dict[str, int]:
    """Return the keys of the recipe's `model` that describe a ModernBERT's config.

    For an irregular pattern of layers, `global_every` is the nearest regular one. It then serves forecasts only: the
    network is built from the config.
    """
    layers, types = config.num_hidden_layers, list(config.layer_types or [])
    regular = (n for n in range(1, layers + 1) if types == layer_types(layers, n))
    nearest = max(1, round(layers / max(1, types.count("full_attention"))))
    return {
        "layers": layers,
        "hidden": config.hidden_size,
        "heads": config.num_attention_heads,
        "intermediate": config.intermediate_size,
        "positions": config.max_position_embeddings,
        "global_every": next(regular, nearest),
        "window": config.local_attention // 2 * 2,
    }


def layer_types(layers: int, global_every: int) -> list[str]:
    """The kind of attention of each layer: every n-th layer, beginning with the first, sees the whole text."""
    return ["sliding_attention" if i % global_every else "full_attention" for i in range(layers)]


def open_config(model: Model) -> ModernBertConfig:
    """Open the config of `model.init` and check it against what the recipe gives.

    Raises:
        UserError: see `with_shape_of_init`.
    """
    place = f"model.init = {model.init!r}"
    check_files(model.init)
    with opening(place):
        config = AutoConfig.from_pretrained(model.init, **safe_arguments())
    _check_config(config, model, place)
    assert isinstance(config, ModernBertConfig)
    return config


def open_init(model: Model) -> ModernBertForMaskedLM:
    """Open the network of `model.init` in float32 and check it against what the recipe gives.

    Raises:
        UserError: see `with_shape_of_init`.
    """
    place = f"model.init = {model.init!r}"
    open_config(model)
    with opening(place), quiet_transformers(bars=False):
        loaded: Any = ModernBertForMaskedLM.from_pretrained(
            model.init, dtype=torch.float32, output_loading_info=True, **safe_arguments()
        )
    network, info = loaded
    if info["missing_keys"]:
        raise UserError(f"{place}: the weights {', '.join(sorted(info['missing_keys'])[:3])} are missing")
    if "positions" in model.model_fields_set:
        network.config.max_position_embeddings = model.positions
    assert isinstance(network, ModernBertForMaskedLM)
    return network


def new_pieces_of(model: Model, tokenizer: Tokenizer, rows: int) -> list[list[int]]:
    """Return, for each piece that `tokenizer` adds to that of `model.init`, the old ids into which it was cut before.

    [] if it is the checkpoint's own. `rows` is the size of the checkpoint's vocabulary; rows beyond its pieces
    are padding. A checkpoint without a tokenizer is trusted to belong to one of at most `rows` pieces.

    Raises:
        UserError: `tokenizer` is not an extension of the checkpoint's.
    """
    place = f"model.init = {model.init!r}"
    try:
        own = load_tokenizer(model.init)
    except UserError as error:
        if tokenizer.vocab_size > rows:
            raise UserError(
                f"{place}: has {rows} rows, and the tokenizer {tokenizer.vocab_size} pieces, and none of its own can be"
                f" opened ({error}); expected the tokenizer of this checkpoint"
            ) from error
        return []
    return parts_of_new_pieces(own, tokenizer, f"tokenizer of {place}")


def _check_config(config: Any, model: Model, place: str) -> None:
    if config.model_type != "modernbert":
        raise UserError(f"{place}: its architecture is {config.model_type!r}; expected 'modernbert', the only one")
    with opening(place):
        shape = shape_of(config)
    for key in shape.keys() & model.model_fields_set:
        value, of_recipe = shape[key], getattr(model, key)
        if of_recipe != value and not (key == "positions" and of_recipe > value):
            expected = f"{value} or more" if key == "positions" else value
            raise UserError(f"model.{key} = {of_recipe}: not that of {place}; expected {expected}, or no such key")
    for key, fixed in _FIXED_VALUES.items():
        if getattr(config, key) != fixed:
            raise UserError(f"{place}: its {key} is {getattr(config, key)}; expected {fixed}")
