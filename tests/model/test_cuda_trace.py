"""The CUDA path without a GPU: traced over fake tensors, and its call of torch's attention against the reference.

cuda_trace.py traces in a process of its own, on a fake CUDA device. The results and the speed of the kernels can be
tested only on a GPU, by benchmarks/gpu.py.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import varlen

from anaume.model.attention import layout_of, reference_attention, varlen_attention
from anaume.model.memory import memory
from anaume.recipe import Model, Stage

HERE = Path(__file__).parent


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The facts that cuda_trace.py prints."""
    compiler = shutil.which("c++")
    if not compiler or torch.backends.cuda.is_built():
        pytest.skip("needs a C++ compiler, and a torch built without CUDA in whose place the fake device can stand")
    library = tmp_path_factory.mktemp("fake") / "fake_cuda.so"
    torch_folder = Path(torch.__file__).parent
    flags = ["-shared", "-fPIC", "-std=c++20", f"-I{torch_folder}/include", f"-L{torch_folder}/lib"]
    libraries = ["-lc10", "-ltorch_cpu", f"-Wl,-rpath,{torch_folder}/lib"]
    subprocess.run([compiler, *flags, HERE / "fake_cuda.cpp", "-o", library, *libraries], check=True)
    out = subprocess.run([sys.executable, HERE / "cuda_trace.py", library], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_stays_on_the_device(facts: Any, optimizer: str) -> None:
    """Fake tensors have no numbers, so the trace fails if the step needs one or mixes devices."""
    assert facts[optimizer]["devices"] == ["cuda:0"]
    assert facts[optimizer]["types"] == ["torch.float32"]
    assert facts[optimizer]["fused"] == ([True, True] if optimizer == "adamw" else [None, True, True])


def test_the_kernel_receives_supported_arguments(facts: Any) -> None:
    """bf16, (T, H, D), the stage's length and ±8 in local layers, for two micro-batches through layers 0 and 1."""
    calls = facts["adamw"]["calls"]
    assert [call["window"] for call in calls] == [[-1, -1], [8, 8]] * 2
    for call in calls:
        assert call["types"] == ["torch.bfloat16"]
        assert call["shapes"] == [[256, 2, 16]] * 3
        assert call["begins"][0] == "torch.int32"
        assert call["begins"][1] >= 4  # three documents, and perhaps empty ones
        assert call["longest"] == [256, 256]
        assert call["scale"] == 16**-0.5


def test_loss_and_gradients_are_one_graph(facts: Any) -> None:
    """`fullgraph=True` compiles one graph per stage, whether a row holds 1 document or 1,000."""
    assert facts["graphs"]["auto"] == [1] * 7 + [2] * 7


def test_float32_is_not_compiled(facts: Any) -> None:
    """In float32 attention reads lengths as Python integers, so each row would be a graph of its own."""
    assert facts["graphs"]["float32"] == [0] * 14


def test_the_plan_counts_what_autograd_keeps(facts: Any) -> None:
    """The paper's model with a micro-batch of 26,624 slots; autograd keeps one of the three copies of the logits."""
    stage = Stage(name="stage1")
    parts = memory(Model(), 99_574, stage)
    kept = parts["bf16 copies of the matrices"] + parts["activations of the layers"] + parts["activations of the head"]
    assert kept + parts["logits of the scored slots"] / 3 == pytest.approx(facts["kept"], rel=1e-3)


def _documented_varlen(
    query: Tensor, key: Tensor, value: Tensor, begins: Tensor, *rest: Any, scale: float, window_size: tuple[int, int]
) -> Tensor:
    """`varlen_attn` as torch documents it, document by document: (T, H, D) each in and out."""
    assert torch.equal(begins, rest[0])
    out = torch.zeros_like(query)
    left, right = (reach if reach >= 0 else len(query) for reach in window_size)
    for start, stop in zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True):
        assert stop - start <= min(rest[1:])
        for i in range(start, stop):
            window = slice(max(start, i - left), min(stop, i + right + 1))
            scores = torch.einsum("hd,thd->ht", query[i], key[window]) * scale
            out[i] = torch.einsum("ht,thd->hd", scores.softmax(-1), value[window])
    return out


@pytest.mark.parametrize("reach", [None, 1, 5, 64])
@pytest.mark.parametrize("causal", [False, True], ids=["masked", "causal"])
def test_arguments_mean_what_the_reference_computes(
    reach: int | None, causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values and gradients; a plain function stands in for the kernel, which needs a GPU."""
    monkeypatch.setattr(varlen, "varlen_attn", _documented_varlen)
    torch.manual_seed(0)
    lengths = [5, 1, 23, 11]
    layout = layout_of(lengths, 30, causal=causal)
    data, weight = torch.randn(3, 1, 2, 40, 4), torch.randn(1, 40, 2, 4)
    results = []
    for fast in (True, False):
        query, key, value = inputs = [x.clone().requires_grad_() for x in data]
        if fast:
            out = varlen_attention(query, key, value, layout, reach, 0.5)
        else:
            window = None if reach is None else reach + 1
            module = torch.nn.Identity()
            out, _ = reference_attention(module, query, key, value, layout, scaling=0.5, sliding_window=window)
        (out * weight).sum().backward()
        results.append([out.detach(), *(x.grad for x in inputs)])
    torch.testing.assert_close(*results, atol=1e-6, rtol=1e-5)
