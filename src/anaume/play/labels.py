"""The tabs of fine-tuned models: a text → its entities or the probabilities of its classes."""

from collections.abc import Sequence

import torch

from anaume.errors import UserError
from anaume.finetune.entities import encode_entities, predicted_entities
from anaume.finetune.examples import Entity, Example
from anaume.finetune.items import encode
from anaume.finetune.network import logits
from anaume.play.limits import one_text
from anaume.play.models import Tuned, entity_types


def entities(models: Sequence[Tuned], text: str) -> dict[str, tuple[Entity, ...]]:
    """Return model → the entities of the text, by their exact characters.

    Raises:
        UserError: an empty text, or one that is too long.
    """
    one_text(text)
    return {model.name: _entities(model, text) for model in models}


def _entities(model: Tuned, text: str) -> tuple[Entity, ...]:
    types = entity_types(model.head.names)
    encoded = encode_entities(model.tokenizer, [Example((text,))], types, model.max_length)
    with torch.inference_mode():
        outputs = [logits(model.network, "tokens", item.rows).float().cpu().numpy() for item in encoded.items]
    return predicted_entities(encoded, outputs, types)[0]


def classes(models: Sequence[Tuned], text: str, second: str = "") -> dict[str, dict[str, float]]:
    """Return model → its classes with their probabilities, highest first; for a regression, the value.

    `second` is the other text of a pair; empty for a single text.

    Raises:
        UserError: an empty text, or one that is too long.
    """
    texts = (one_text(text), one_text(second, "second text")) if second.strip() else (one_text(text),)
    return {model.name: _classes(model, texts) for model in models}


def _classes(model: Tuned, texts: tuple[str, ...]) -> dict[str, float]:
    kind, count = model.head.kind, model.head.classes
    encoded = encode(model.tokenizer, kind, (Example(texts),), model.max_length, classes=count)
    with torch.inference_mode():
        outputs = logits(model.network, kind, encoded.items[0].rows).float().cpu()[0]
    if not outputs.isfinite().all():
        raise UserError(f"{model.name}: gives NaN; expected numbers (weights of a training that diverged?)")
    if kind == "similarity":
        return {"value": float(outputs[0])}
    probabilities = outputs.sigmoid() if kind == "labels" else outputs.softmax(dim=-1)
    rows = zip(model.head.names, probabilities.tolist(), strict=True)
    return dict(sorted(rows, key=lambda row: -row[1]))
