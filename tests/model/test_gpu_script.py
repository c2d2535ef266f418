"""benchmarks/gpu.py without a GPU: its one line, and that its checks tell right from wrong, on the CPU's path."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from anaume.model.attention import packed_attention

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
CPU = torch.device("cpu")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    specification = importlib.util.spec_from_file_location("gpu", SCRIPT)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "gpu", module)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "ROWS", ([130], [1, 2, 70, 57]))
    return module


def test_without_cuda_it_says_so(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit) as stop:
        gpu.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_is_right_passes(gpu: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    checks = gpu.attention_checks(CPU, torch.float32, 2, 16) + gpu.optimizer_checks(CPU)
    assert gpu.report(checks)
    assert "FAILED" not in capsys.readouterr().out
    # Two rows, global and local, without and with empty documents, output and three gradients; two weights.
    assert len(checks) == 2 * 2 * 2 * 4 + 2


@pytest.mark.parametrize("mistake", ["a neighbour too many", "the next document"])
def test_what_is_wrong_fails(mistake: str, gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **options: Any) -> Any:
        if mistake == "the next document":
            attention_mask = gpu.layout_of([sum(attention_mask.lengths)], 2048)
        elif options["sliding_window"]:
            options["sliding_window"] += 1
        return packed_attention(module, query, key, value, attention_mask, **options)

    monkeypatch.setattr(gpu, "packed_attention", wrong)
    assert not gpu.report(gpu.attention_checks(CPU, torch.float32, 2, 16))


def test_made_up_documents_are_packed_and_masked(gpu: ModuleType) -> None:
    batch = next(gpu.made_up(1024, 4096, 1000))
    assert batch.tokens > 0.97 * 4096
    assert batch.targets == pytest.approx(0.3 * batch.tokens, rel=0.02)
    assert batch.text_lengths.max() <= 1024
