"""The CUDA path without a GPU: traced over fake tensors, and its call of torch's attention held against the reference.

cuda_trace.py beside this file does the tracing in a process of its own, on a fake CUDA device. What can't be shown here
is what the kernels compute and how fast; benchmarks/gpu.py shows it on a GPU.
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

from anaume.model.attention import _varlen, layout_of, reference_attention
from anaume.model.memory import memory
from anaume.recipe import Model, Stage

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What cuda_trace.py found."""
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
    """Fake tensors have no numbers: had the step asked for one, or mixed devices, the trace would have failed."""
    assert facts[optimizer]["devices"] == ["cuda:0"]
    assert facts[optimizer]["types"] == ["torch.float32"]
    assert facts[optimizer]["fused"] == ([True, True] if optimizer == "adamw" else [None, True, True])


def test_attention_is_called_with_what_the_kernel_takes(facts: Any) -> None:
    """bf16, (T, H, D), the stage's length, ±8 in local layers: two micro-batches through layers 0 and 1."""
    calls = facts["adamw"]["calls"]
    assert [call["window"] for call in calls] == [[-1, -1], [8, 8]] * 2
    for call in calls:
        assert call["types"] == ["torch.bfloat16"]
        assert call["shapes"] == [[256, 2, 16]] * 3
        assert call["begins"][0] == "torch.int32"
        assert call["begins"][1] >= 4  # three documents, and empty ones if the layout fills up with them
        assert call["longest"] == [256, 256]
        assert call["scale"] == 16**-0.5


def test_loss_and_gradients_are_one_graph(facts: Any) -> None:
    """`fullgraph=True` traced them: one graph a stage, whether a row holds 1 document or 1,000."""
    assert facts["graphs"]["auto"] == [1] * 7 + [2] * 7


def test_float32_is_not_compiled(facts: Any) -> None:
    """There attention takes lengths as plain numbers, and each row would be a graph of its own."""
    assert facts["graphs"]["float32"] == [0] * 14


def test_the_plan_counts_what_autograd_keeps(facts: Any) -> None:
    """The paper's model with a micro-batch of 26,624 slots; of the logits' three copies one is kept."""
    stage = Stage(name="stage1")
    parts = memory(Model(), 99_574, stage)
    kept = parts["bf16 copies of the matrices"] + parts["activations of the layers"] + parts["activations of the head"]
    assert kept + parts["logits of the scored slots"] / 3 == pytest.approx(facts["kept"], rel=1e-3)


def _by_the_book(
    query: Tensor, key: Tensor, value: Tensor, begins: Tensor, *rest: Any, scale: float, window_size: tuple[int, int]
) -> Tensor:
    """What torch's documentation says of `varlen_attn`, document by document: (T, H, D) each in and out."""
    assert torch.equal(begins, rest[0])
    out = torch.zeros_like(query)
    left, right = (reach if reach >= 0 else len(query) for reach in window_size)
    for start, stop in zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True):
        assert stop - start <= min(rest[1:])
        for i in range(start, stop):
            seen = slice(max(start, i - left), min(stop, i + right + 1))
            scores = torch.einsum("hd,thd->ht", query[i], key[seen]) * scale
            out[i] = torch.einsum("ht,thd->hd", scores.softmax(-1), value[seen])
    return out


@pytest.mark.parametrize("reach", [None, 1, 5, 64])
def test_arguments_mean_what_the_reference_computes(reach: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients; the kernel, which this machine can't run, is replaced by its documentation."""
    monkeypatch.setattr(varlen, "varlen_attn", _by_the_book)
    torch.manual_seed(0)
    lengths = [5, 1, 23, 11]
    layout, data, weight = layout_of(lengths, 30), torch.randn(3, 1, 2, 40, 4), torch.randn(1, 40, 2, 4)
    results = []
    for fast in (True, False):
        query, key, value = inputs = [x.clone().requires_grad_() for x in data]
        if fast:
            out = _varlen(query, key, value, layout, reach, 0.5)
        else:
            window = None if reach is None else reach + 1
            module = torch.nn.Identity()
            out, _ = reference_attention(module, query, key, value, layout, scaling=0.5, sliding_window=window)
        (out * weight).sum().backward()
        results.append([out.detach(), *(x.grad for x in inputs)])
    torch.testing.assert_close(*results, atol=1e-6, rtol=1e-5)
