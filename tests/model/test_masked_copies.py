"""Masked copies against the plain way: a full forward pass of Hugging Face's model for each copy."""

import pytest
import torch
from torch import Tensor
from transformers import ModernBertConfig, ModernBertModel

from anaume.model import masked_copies
from anaume.model.masked_copies import masked_states, supports

MASK = 4


def network(layers: int, every: int = 3, bias: bool = False) -> ModernBertModel:
    torch.manual_seed(layers)
    config = ModernBertConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=2,
        local_attention=8,
        layer_types=["sliding_attention" if i % every else "full_attention" for i in range(layers)],
        initializer_range=0.3,
        attention_bias=bias,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
        cls_token_id=None,
        sep_token_id=None,
    )
    model = ModernBertModel(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim < 2 else 0.0, 0.3)
    model.eval()
    return model


def full_passes(model: ModernBertModel, ids: Tensor, places: Tensor) -> Tensor:
    copies = ids.repeat(len(places), 1)
    row = torch.arange(len(places))
    copies[row, places] = MASK
    model.set_attn_implementation("sdpa")
    with torch.inference_mode():
        states: Tensor = model(input_ids=copies).last_hidden_state[row, places]
    return states


# The last global layer is the first, a middle or the last layer, with and without local layers above it; or all are.
@pytest.mark.parametrize(
    ("layers", "every"), [(1, 3), (2, 3), (3, 3), (4, 3), (5, 3), (6, 3), (7, 3), (3, 1), (5, 2), (4, 9)]
)
@pytest.mark.parametrize("tokens", [2, 9, 40, 90])
def test_masked_states_equal_a_full_pass_per_copy(layers: int, every: int, tokens: int) -> None:
    model = network(layers, every)
    ids = torch.randint(5, 64, (tokens,))
    places = torch.arange(tokens)
    expected = full_passes(model, ids, places)
    torch.testing.assert_close(masked_states(model, ids, places, MASK, batch_tokens=100), expected, atol=5e-5, rtol=0)
    assert model.config._attn_implementation == "sdpa"


def test_biases_and_selected_places() -> None:
    model = network(6, bias=True)
    ids = torch.randint(5, 64, (70,))
    places = torch.tensor([0, 69, 33, 33, 2])
    expected = full_passes(model, ids, places)
    for batch_tokens in (1, 100, 10_000):
        states = masked_states(model, ids, places, MASK, batch_tokens=batch_tokens)
        torch.testing.assert_close(states, expected, atol=5e-5, rtol=0)


@pytest.mark.parametrize("scale", [10.0, 100.0, 1000.0])
def test_a_token_that_takes_all_attention_may_be_masked(scale: float) -> None:
    """The divisor in layer 0 is then close to zero. The reference is Hugging Face's model in float64."""
    model = network(4)
    ids = torch.randint(5, 64, (40,))
    places = torch.arange(40)
    with torch.no_grad():
        dict(model.named_parameters())["layers.0.attn.Wqkv.weight"][:64] *= scale**0.5  # queries and keys
    states = masked_states(model, ids, places, MASK, batch_tokens=400)
    assert states.isfinite().all()
    torch.nn.Module.to(model, torch.float64)
    expected = full_passes(model, ids, places)
    torch.testing.assert_close(states.double(), expected, atol=1e-3, rtol=0)


def test_correcting_layer_0_equals_recomputing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(5)
    ids = torch.randint(5, 64, (40,))
    places = torch.tensor([1, 20, 38])
    corrected = masked_states(model, ids, places, MASK, batch_tokens=400)
    monkeypatch.setattr(masked_copies, "LEAST", 2.0)  # no divisor is above 2 and below 1/2
    recomputed = masked_states(model, ids, places, MASK, batch_tokens=400)
    torch.testing.assert_close(corrected, recomputed, atol=1e-6, rtol=0)


def test_supports_networks_whose_layer_0_is_global() -> None:
    assert supports(network(3))
    local = network(1)
    setattr(local.layers[0], "attention_type", "sliding_attention")  # noqa: B010
    assert not supports(local)
