"""The fast paths against the plain reference, values and gradients, and inside Hugging Face's model."""

import pytest
import torch
from torch import Tensor
from transformers import ModernBertConfig, ModernBertModel

from anaume.model import attention
from anaume.model.attention import PACKED, REFERENCE, layout_of, packed_attention, reference_attention

HEADS, SIZE = 2, 16


def _both(
    lengths: list[int], reach: int | None, causal: bool, dtype: torch.dtype = torch.float32
) -> list[tuple[Tensor, Tensor]]:
    """Output and gradients of query, key and value: pairs of the fast path in `dtype` and the reference in float32."""
    torch.manual_seed(0)
    tokens = sum(lengths)
    layout = layout_of(lengths, max(lengths), causal=causal)
    weight = torch.randn(1, tokens, HEADS, SIZE)
    data = torch.randn(3, 1, tokens, HEADS, SIZE).to(dtype)
    results = []
    for function, kind in ((packed_attention, dtype), (reference_attention, torch.float32)):
        query, key, value = inputs = [x.to(kind).transpose(1, 2).detach().requires_grad_() for x in data]
        window = None if reach is None else reach + 1
        out, _ = function(
            torch.nn.Identity(), query, key, value, attention_mask=layout, scaling=SIZE**-0.5, sliding_window=window
        )
        (out * weight).sum().backward()
        gradients = [x.grad for x in inputs if x.grad is not None]
        assert len(gradients) == 3
        results.append([out.detach(), *gradients])
    return list(zip(*results, strict=True))


@pytest.mark.parametrize(
    "lengths",
    [[1], [128], [129], [5, 300, 1, 77, 200, 64, 129], [1000], [3] * 50, [70, 70, 65, 66, 66, 66, 64]],
    ids=str,
)
@pytest.mark.parametrize("reach", [None, 1, 2, 64, 100, 200])
@pytest.mark.parametrize("causal", [False, True], ids=["masked", "causal"])
def test_packed_equals_reference(lengths: list[int], reach: int | None, causal: bool) -> None:
    for fast, reference in _both(lengths, reach, causal):
        torch.testing.assert_close(fast, reference, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("lengths", [[5, 300, 300, 1, 129], [1000], [1025, 40]], ids=str)
@pytest.mark.parametrize("reach", [None, 64])
@pytest.mark.parametrize("causal", [False, True], ids=["masked", "causal"])
def test_packed_in_bfloat16_is_near_the_reference(
    lengths: list[int], reach: int | None, causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bfloat16 has 8 significant bits. The patch makes parts of 128 queries, the last one shorter."""
    monkeypatch.setattr(attention, "SCORES", 1)
    for fast, reference in _both(lengths, reach, causal, torch.bfloat16):
        assert fast.dtype == torch.bfloat16
        assert (fast.float() - reference).norm() < 2**-7 * reference.norm()


def test_reference_attends_within_the_document_and_the_reach() -> None:
    """With equal scores the output is the mean of the values that a token attends to, computed by hand."""
    layout = layout_of([4, 2], 4)
    zeros = torch.zeros(1, 1, 6, 1)
    value = torch.tensor([1.0, 2, 4, 8, 100, 300]).view(1, 1, 6, 1)
    out, _ = reference_attention(torch.nn.Identity(), zeros, zeros, value, layout, scaling=1.0, sliding_window=None)
    assert out.flatten().tolist() == [3.75, 3.75, 3.75, 3.75, 200, 200]
    out, _ = reference_attention(torch.nn.Identity(), zeros, zeros, value, layout, scaling=1.0, sliding_window=2)
    torch.testing.assert_close(out.flatten(), torch.tensor([1.5, 7 / 3, 14 / 3, 6, 200, 200]))


def test_causal_reference_looks_back_only() -> None:
    """The same values as above; a token attends to itself and to what precedes it within the reach."""
    layout = layout_of([4, 2], 4, causal=True)
    zeros = torch.zeros(1, 1, 6, 1)
    value = torch.tensor([1.0, 2, 4, 8, 100, 300]).view(1, 1, 6, 1)
    out, _ = reference_attention(torch.nn.Identity(), zeros, zeros, value, layout, scaling=1.0, sliding_window=None)
    torch.testing.assert_close(out.flatten(), torch.tensor([1, 1.5, 7 / 3, 3.75, 100, 200]))
    out, _ = reference_attention(torch.nn.Identity(), zeros, zeros, value, layout, scaling=1.0, sliding_window=2)
    torch.testing.assert_close(out.flatten(), torch.tensor([1, 1.5, 3, 6, 100, 200]))


def _tiny() -> ModernBertModel:
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=2,
        local_attention=8,
        pad_token_id=0,
    )
    model = ModernBertModel(config)
    model.eval()
    return model


def test_a_causal_network_does_not_see_later_tokens() -> None:
    """A document's states before a token stay as they were when the token changes; those after it do not."""
    model = _tiny()
    model.set_attn_implementation(PACKED)
    lengths = [30, 50]
    layout = layout_of(lengths, 50, causal=True)
    positions = torch.cat([torch.arange(n) for n in lengths]).unsqueeze(0)
    masks = {"full_attention": layout, "sliding_attention": layout}
    ids = torch.randint(1, 63, (1, 80))
    changed = ids.clone()
    changed[0, 50] += 1
    with torch.inference_mode():
        before, after = (
            model(input_ids=row, position_ids=positions, attention_mask=masks).last_hidden_state[0]
            for row in (ids, changed)
        )
    difference = (before - after).abs().amax(1)
    assert (difference[:50] == 0).all()
    assert (difference[50:] > 0).all()


@pytest.mark.parametrize("implementation", [PACKED, REFERENCE])
def test_a_packed_row_equals_hugging_face_document_by_document(implementation: str) -> None:
    model = _tiny()
    lengths = [30, 7, 1, 50]
    ids = torch.randint(1, 64, (1, sum(lengths)))
    with torch.inference_mode():
        model.set_attn_implementation("sdpa")
        alone = torch.cat([model(input_ids=part).last_hidden_state for part in ids.split(lengths, dim=1)], dim=1)
        model.set_attn_implementation(implementation)
        layout = layout_of(lengths, 50)
        positions = torch.cat([torch.arange(n) for n in lengths]).unsqueeze(0)
        masks = {"full_attention": layout, "sliding_attention": layout}
        packed = model(input_ids=ids, position_ids=positions, attention_mask=masks).last_hidden_state
    torch.testing.assert_close(packed, alone, atol=2e-5, rtol=1e-4)
