"""benchmarks/gpu.py without a GPU: its error line, and its checks on the CPU's path, with and without mistakes."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from anaume.model.attention import packed_attention
from anaume.recipe import Model

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
CPU = torch.device("cpu")
SMALL = Model(layers=3, hidden=32, heads=2, intermediate=48)
# The part of main() for several GPUs, on two processes of a CPU; then with a mistake.
TWO_PROCESSES = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import gpu
ranks, passed = gpu.this_rank(), []
with gpu.connected(ranks):
    for mistake in (False, True):
        if mistake:
            right = gpu.accumulate
            gpu.accumulate = lambda *inputs: right(*inputs[:3], inputs[3] / inputs[4].count, inputs[4])
        model = gpu.Model(layers=3, hidden=32, heads=2, intermediate=48)
        passed.append(gpu.report(gpu.rank_checks(ranks, model, 600)))
Path(sys.argv[2], f"rank{ranks.rank}").write_text(str(passed))
"""


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


def test_without_cuda_the_script_ends_with_one_line(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit) as stop:
        gpu.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_correct_results_pass(gpu: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    checks = gpu.attention_checks(CPU, torch.float32, 2, 16) + gpu.optimizer_checks(CPU)
    # Two rows × (global, local) × (output and three gradients), and two weights of the optimizer.
    assert len(checks) == 2 * 2 * 4 + 2
    checks += gpu.network_checks(CPU, SMALL, 600)
    assert gpu.report(checks)
    assert "FAILED" not in capsys.readouterr().out


@pytest.mark.slow
def test_ranks_are_compared_with_one_process(tmp_path: Path) -> None:
    """Two processes; the second check must fail, because its ranks count their own tokens only."""
    script = tmp_path / "two.py"
    script.write_text(TWO_PROCESSES, encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run = subprocess.run([*launcher, script, SCRIPT.parent, tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert [(tmp_path / f"rank{rank}").read_text() for rank in range(2)] == ["[True, False]"] * 2


@pytest.mark.slow
def test_a_row_of_the_table(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training step with every option of a recipe; the functions that need a GPU are replaced."""
    for name, value in (("synchronize", None), ("reset_peak_memory_stats", None), ("max_memory_allocated", 0)):
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    monkeypatch.setattr(gpu, "VOCABULARY", 600)
    monkeypatch.setattr(gpu, "peak_flops", lambda *_: 1e12)
    variants = list(gpu.variants())
    assert [compiled for _, compiled in variants] == [False, True, True, True] * 2
    for stage, compiled in variants[1:4]:
        short = stage.model_copy(update={"length": 128, "micro_batch_tokens": 256})
        row = gpu.speed(SMALL, short, CPU, 0.0, compiled)
        assert len(row) == len(gpu.COLUMNS)
        checkpointing = "yes" if stage.gradient_checkpointing else "no"
        assert row[:6] == ["anaume", "128", "256", stage.optimizer, "yes", checkpointing]
    row = gpu.stock_speed(SMALL, 128, 300, CPU, 0.0)
    assert len(row) == len(gpu.COLUMNS)
    assert row[:3] == ["stock", "128", "256"]


@pytest.mark.parametrize("mistake", ["a window too wide", "the next document"])
def test_wrong_results_fail(mistake: str, gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **options: Any) -> Any:
        if mistake == "the next document":
            attention_mask = gpu.layout_of([sum(attention_mask.lengths)], 2048)
        elif options["sliding_window"]:
            options["sliding_window"] += 1
        return packed_attention(module, query, key, value, attention_mask, **options)

    monkeypatch.setattr(gpu, "packed_attention", wrong)
    assert not gpu.report(gpu.attention_checks(CPU, torch.float32, 2, 16))


def test_random_documents_are_packed_and_masked(gpu: ModuleType) -> None:
    batch = next(gpu.random_batches(1024, 4096, 1000))
    assert batch.tokens > 0.97 * 4096
    assert batch.targets == pytest.approx(0.3 * batch.tokens, rel=0.02)
    assert batch.text_lengths.max() <= 1024
