"""The graphs of an export give the network's numbers for texts of all lengths, padded or not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from onnxruntime import InferenceSession
from torch import Tensor
from transformers import ModernBertConfig, ModernBertForMaskedLM

from anaume.errors import UserError
from anaume.export import onnx
from anaume.export.graph import GRAPH, LogitsGraph, StatesGraph

WINDOW, POSITIONS = 16, 8192


def random_network() -> ModernBertForMaskedLM:
    """Global and local layers, with weights large enough that attention is not flat."""
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=120,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=POSITIONS,
        local_attention=WINDOW,
        pad_token_id=1,
        bos_token_id=None,
        eos_token_id=None,
        cls_token_id=2,
        sep_token_id=3,
        initializer_range=0.3,
    )
    network: ModernBertForMaskedLM = ModernBertForMaskedLM(config).eval()
    return network


@pytest.fixture(scope="module")
def network() -> ModernBertForMaskedLM:
    return random_network()


@pytest.fixture(scope="module")
def graphs(network: ModernBertForMaskedLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    onnx.write_onnx(network, folder, int8=True)
    return folder / "onnx"


@pytest.fixture
def graph_path(network: ModernBertForMaskedLM) -> Iterator[None]:
    network.config._attn_implementation = GRAPH
    yield
    network.config._attn_implementation = "sdpa"


def texts(lengths: list[int]) -> tuple[Tensor, Tensor]:
    ids = torch.randint(4, 120, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]
    return ids, mask.long()


def expected(network: ModernBertForMaskedLM, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
    with torch.inference_mode():
        states = network.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return {onnx.STATES: states, onnx.LOGITS: network.decoder(network.head(states))}


def run(file: Path, ids: Tensor, mask: Tensor) -> Tensor:
    session = InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0])


LENGTHS = ([1], [8], [WINDOW // 2, WINDOW // 2 + 1], [100, 3, 1], [1000, 20])


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.usefixtures("graph_path")
def test_the_traced_modules_equal_the_network(network: ModernBertForMaskedLM, lengths: list[int]) -> None:
    """Before any export: the module in torch, against the stock attention and its masks."""
    ids, mask = texts(lengths)
    network.config._attn_implementation = "sdpa"
    right = expected(network, ids, mask)
    network.config._attn_implementation = GRAPH
    for name, kind in ((onnx.STATES, StatesGraph), (onnx.LOGITS, LogitsGraph)):
        with torch.inference_mode():
            ours = kind(network)(ids, mask)
        assert ours.isfinite().all()
        torch.testing.assert_close(ours[mask.bool()], right[name][mask.bool()], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [*LENGTHS, [POSITIONS]], ids=str)
def test_the_graphs_equal_the_network(network: ModernBertForMaskedLM, graphs: Path, lengths: list[int]) -> None:
    ids, mask = texts(lengths)
    for name, right in expected(network, ids, mask).items():
        ours = run(graphs / name, ids, mask)
        assert ours.isfinite().all()  # in padding, too: 0 × NaN is NaN in a mean
        torch.testing.assert_close(ours[mask.bool()], right[mask.bool()], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_the_8_bit_graph_is_near_and_smaller(network: ModernBertForMaskedLM, graphs: Path) -> None:
    ids, mask = texts([300])
    right = expected(network, ids, mask)[onnx.STATES].mean(1)
    ours = run(graphs / onnx.INT8, ids, mask).mean(1)
    assert 0.99 < torch.cosine_similarity(ours, right).item() < 1  # not the float graph under another name


@pytest.mark.slow
def test_a_wrong_graph_is_refused(network: ModernBertForMaskedLM, graphs: Path) -> None:
    """The check after an export, with another network in place of the one that the graph was made of."""
    onnx.check_graph(StatesGraph(network), graphs / onnx.STATES)
    other = random_network()
    with torch.no_grad():
        other.model.layers[1].attn.Wo.weight.mul_(1.01)
    with pytest.raises(UserError, match=r"model\.onnx: differs from the network by .* of its largest output"):
        onnx.check_graph(StatesGraph(other), graphs / onnx.STATES)
    network.config._attn_implementation = "sdpa"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "PACKAGES", ("onnx", "not_there"))
    with pytest.raises(
        UserError, match=r"--onnx: the package not_there is not installed; expected pip install 'anaume"
    ):
        onnx.onnx_addition(int8=False)
