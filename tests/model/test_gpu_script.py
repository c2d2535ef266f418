"""benchmarks/gpu.py without a GPU: its one line, and that its checks tell right from wrong, on the CPU's path."""

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
# What main() does on several GPUs, on two processes of a CPU; then with a mistake.
TWO = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import gpu
ranks, found = gpu.here(), []
with gpu.joined(ranks):
    for mistake in (False, True):
        if mistake:
            right = gpu.accumulate
            gpu.accumulate = lambda *given: right(*given[:3], given[3] / given[4].count, given[4])
        model = gpu.Model(layers=3, hidden=32, heads=2, intermediate=48)
        found.append(gpu.report(gpu.rank_checks(ranks, model, 600)))
Path(sys.argv[2], f"rank{ranks.rank}").write_text(str(found))
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
    # Two rows, global and local, output and three gradients; two weights.
    assert len(checks) == 2 * 2 * 4 + 2
    checks += gpu.network_checks(CPU, SMALL, 600)
    assert gpu.report(checks)
    assert "FAILED" not in capsys.readouterr().out


def test_ranks_are_held_against_one_process(tmp_path: Path) -> None:
    """Two processes; the second check must fail, for there each rank counts its own tokens only."""
    script = tmp_path / "two.py"
    script.write_text(TWO, encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    told = subprocess.run([*launcher, script, SCRIPT.parent, tmp_path], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert [(tmp_path / f"rank{rank}").read_text() for rank in range(2)] == ["[True, False]"] * 2


def test_a_row_of_the_table(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training step with all that a recipe may turn on; what only a GPU can be asked is left out."""
    for name, value in (("synchronize", None), ("reset_peak_memory_stats", None), ("max_memory_allocated", 0)):
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    monkeypatch.setattr(gpu, "VOCABULARY", 600)
    monkeypatch.setattr(gpu, "peak_flops", lambda *_: 1e12)
    turned_on = list(gpu.variants())
    assert [compiled for _, compiled in turned_on] == [False, True, True, True] * 2
    for stage, compiled in turned_on[1:4]:
        short = stage.model_copy(update={"length": 128, "micro_batch_tokens": 256})
        row = gpu.speed(SMALL, short, CPU, 0.0, compiled)
        assert len(row) == len(gpu.COLUMNS)
        assert row[:5] == ["128", "256", stage.optimizer, "yes", "yes" if stage.gradient_checkpointing else "no"]


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
