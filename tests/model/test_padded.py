"""A ModernBERT of anybody's, run packed: equal to its own attention at real tokens, outputs and gradients."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForQuestionAnswering,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    ModernBertModel,
)

from anaume.errors import UserError
from anaume.model.padded import NAME, fast, padded_rows

CLASSES = (
    ModernBertModel,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    ModernBertForQuestionAnswering,
)
# Rows of 300 slots: local layers of a reach of 8 run in blocks of 128 queries.
LENGTHS = (300, 7, 1, 129, 64)


def _config(**changes: Any) -> ModernBertConfig:
    shape: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
    }
    return ModernBertConfig(
        vocab_size=99, local_attention=16, max_position_embeddings=512, pad_token_id=0, **shape, **changes
    )


def _inputs(side: str = "right") -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    longest = max(LENGTHS)
    slots = torch.arange(longest)
    lengths = torch.tensor(LENGTHS)[:, None]
    mask = (slots < lengths if side == "right" else slots >= longest - lengths).long()
    ids = torch.randint(1, 99, mask.shape, generator=generator) * mask
    return {"input_ids": ids, "attention_mask": mask}


def _twins(kind: Any, **changes: Any) -> tuple[Any, Any]:
    """Two models of equal weights; the second is to be changed."""
    torch.manual_seed(3)
    stock = kind(_config(**changes)).eval()
    other = kind(_config(**changes)).eval()
    other.load_state_dict(stock.state_dict())
    return stock, other


def _real(output: Any, mask: Tensor) -> dict[str, Tensor]:
    """The tensors of an output, at real tokens where they have a value for each token."""
    return {
        name: value[mask.bool()] if value.shape[:2] == mask.shape else value
        for name, value in output.items()
        if isinstance(value, Tensor)
    }


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kind", CLASSES)
def test_equal_outputs_and_gradients_at_real_tokens(kind: Any, side: str) -> None:
    stock, packed = _twins(kind, classifier_pooling="mean")
    assert fast(packed) is packed
    inputs = _inputs(side)
    outputs = [_real(model(**inputs), inputs["attention_mask"]) for model in (stock, packed)]
    assert outputs[0].keys() == outputs[1].keys()
    for name, expected in outputs[0].items():
        assert (outputs[1][name] - expected).abs().max() < 5e-6, name
    for values in outputs:
        sum(value.sin().sum() for value in values.values()).backward()  # type: ignore[union-attr]
    for (name, weight), other in zip(stock.named_parameters(), packed.parameters(), strict=True):
        if weight.grad is not None:
            assert (other.grad - weight.grad).abs().max() <= 2e-5 * max(1, float(weight.grad.abs().max())), name


def test_no_layer_computes_padding() -> None:
    seen = []
    model: Any = fast(ModernBertModel(_config()))
    model.layers[0].mlp.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[:2]))
    model(**_inputs())
    assert seen == [(1, sum(LENGTHS))]


def test_called_in_other_ways() -> None:
    """Positional arguments, no mask, embeddings in place of ids, tuples, hidden states of all layers, a second call."""
    stock, packed = _twins(ModernBertModel)
    fast(fast(packed))
    assert len(packed._forward_pre_hooks) == 1
    inputs = _inputs()
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    real = mask.bool()

    def differ(*arguments: Any, of: Tensor = real, **options: Any) -> float:
        with torch.no_grad():
            pairs = zip(stock(*arguments, **options)[0][of], packed(*arguments, **options)[0][of], strict=True)
            return max(float((a - b).abs().max()) for a, b in pairs)

    assert differ(ids, mask) < 5e-6
    assert differ(ids, of=torch.ones_like(real)) < 5e-6
    assert differ(inputs_embeds=torch.randn(*ids.shape, 32), attention_mask=mask) < 5e-6
    assert differ(ids, mask, return_dict=False) < 5e-6
    with torch.no_grad():
        states = [model(ids, mask, output_hidden_states=True).hidden_states for model in (stock, packed)]
    assert len(states[0]) == len(states[1])
    assert max((a[real] - b[real]).abs().max() for a, b in zip(*states, strict=True)) < 5e-6
    assert packed(ids, mask).last_hidden_state[~real].abs().max() == 0


def test_a_row_of_padding_and_padding_between_tokens() -> None:
    stock, packed = _twins(ModernBertModel)
    fast(packed)
    inputs = _inputs()
    inputs["attention_mask"][2] = 0
    assert packed(**inputs).last_hidden_state[2].abs().max() == 0
    inputs["attention_mask"][0, 100:200] = 0
    assert padded_rows(inputs["attention_mask"]) is None
    keep = inputs["attention_mask"].bool()
    with torch.no_grad():
        difference = stock(**inputs).last_hidden_state[keep] - packed(**inputs).last_hidden_state[keep]
    assert difference.abs().max() < 5e-6


def test_bfloat16_and_copies() -> None:
    stock, packed = _twins(ModernBertModel)
    inputs = _inputs()
    real = inputs["attention_mask"].bool()
    copied = copy.deepcopy(fast(packed)).bfloat16()
    with torch.no_grad():
        difference = copied(**inputs).last_hidden_state[real].float() - stock(**inputs).last_hidden_state[real]
    assert difference.abs().max() < 0.1  # states are of the size of 1


def test_training_with_gradient_checkpointing() -> None:
    stock, packed = _twins(ModernBertForMaskedLM)
    fast(packed).activation_checkpointing_enable({"use_reentrant": False})
    inputs = _inputs()
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    for model in (stock, packed):
        model.train()
        model(**inputs, labels=labels).loss.backward()
    grads = [model.model.layers[0].attn.Wqkv.weight.grad for model in (stock, packed)]
    assert (grads[0] - grads[1]).abs().max() < 1e-6


def test_the_name_of_the_attention(tmp_path: Any) -> None:
    """`attn_implementation="anaume"` runs packed in each attention; the folder that is saved does not name it."""
    stock, _ = _twins(ModernBertModel)
    stock.save_pretrained(tmp_path / "stock")
    named = AutoModel.from_pretrained(tmp_path / "stock", attn_implementation=NAME).eval()
    assert named.config._attn_implementation == NAME
    inputs = _inputs()
    real = inputs["attention_mask"].bool()
    with torch.no_grad():
        outputs = [model(**inputs).last_hidden_state[real] for model in (stock, named)]
        again = named(**inputs | {"attention_mask": None}).last_hidden_state
        assert (again - stock(inputs["input_ids"]).last_hidden_state).abs().max() < 5e-6
    assert (outputs[0] - outputs[1]).abs().max() < 5e-6
    fast(named).save_pretrained(tmp_path / "saved")
    assert NAME not in (tmp_path / "saved" / "config.json").read_text()
    assert AutoModel.from_pretrained(tmp_path / "saved").config._attn_implementation == "sdpa"


def test_another_model_keeps_its_own_attention() -> None:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48)
    model = BertModel(config).eval()
    inputs = _inputs()
    with torch.no_grad():
        expected = model(**inputs).last_hidden_state
        model.set_attn_implementation(NAME)
        assert (model(**inputs).last_hidden_state - expected).abs().max() < 5e-6
    with pytest.raises(UserError, match="BertModel: not a ModernBERT; expected"):
        fast(model)


def test_dropout_of_attention_is_refused() -> None:
    with pytest.raises(ValueError, match=r"attention_dropout = 0\.1: not supported; expected 0"):
        fast(ModernBertModel(_config(attention_dropout=0.1)))
