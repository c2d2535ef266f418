"""The plan against the paper's days, against torch's own count of operations, and against simulated documents."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import ModernBertForMaskedLM

from anaume import cli, recipe
from anaume.model import mlm
from anaume.model.flops import DEVICES, flops
from anaume.model.memory import memory, parameters
from anaume.plan import machine
from anaume.plan.cost import plan, vocabulary_size
from anaume.plan.pieces import piece_lengths
from anaume.plan.result import EVERYWHERE, PACKED, SCORED, Plan
from anaume.pretrain.optim import optimizers
from anaume.recipe import Model, Recipe, Stage, TokenizerTable
from anaume.run import Run
from anaume.tokenizer.load import Tokenizer

ROOT = Path(__file__).parents[2]
BASE = ROOT / "recipes" / "llm-jp-base.toml"
SMALL = Model(layers=4, hidden=32, heads=2, intermediate=48, positions=128, window=16)
STAGE = Stage(name="stage", length=64, steps=10, batch_tokens=512, micro_batch_tokens=128, warmup_steps=0)


@pytest.fixture(scope="module")
def base() -> Recipe:
    return recipe.load(BASE)


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["anaume", "plan", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_the_papers_run_takes_the_papers_days(base: Recipe) -> None:
    """Table 1 of the paper: 8 and 3 days on 16 H100, which is 154k and 152k token slots a second on each GPU.

    With padding and all logits counted, that speed is at most 19 % and 27 % of the peak.
    """
    slots_a_second = (154e3, 152e3)
    unit = plan(base, 99_574, "h100", 16, [1.0])
    operations = [stage.ways[0].flops.total for stage in unit.stages]
    mfu = [rate * per_slot / DEVICES["h100"].peak for rate, per_slot in zip(slots_a_second, operations, strict=True)]
    assert [round(share, 2) for share in mfu] == [0.19, 0.27]
    stages = plan(base, 99_574, "h100", 16, mfu).stages
    assert [stage.ways[0].name for stage in stages] == [EVERYWHERE] * 2
    assert stages[0].ways[0].slots == pytest.approx(1.7e12, rel=0.01)
    assert stages[1].ways[0].slots == pytest.approx(0.63e12, rel=0.01)
    assert [stage.ways[0].seconds / 86_400 for stage in stages] == pytest.approx([8, 3], rel=0.05)


def test_the_command_prints_the_papers_days(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (BASE, "--gpus", 16, "--device", "h100", "--mfu", "0.19,0.27")
    assert _run(monkeypatch, *arguments, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["parameters"]["total"] == 187_494_646
    days = [{way["name"]: way["days"] for way in stage["ways"]} for stage in printed["stages"]]
    assert [stage[EVERYWHERE] for stage in days] == pytest.approx([8, 3], rel=0.05)
    assert [stage["accumulation"] for stage in printed["stages"]] == [8, 8]  # 16 × 26 × 8 and 16 × 3 × 8 documents
    for stage in days:
        assert stage[PACKED] < stage[SCORED] < stage[EVERYWHERE]

    monkeypatch.setenv("COLUMNS", "100")
    assert _run(monkeypatch, *arguments) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    assert f"{days[0][EVERYWHERE]:.2f} days" in shown
    assert shown.count("Assumed:") == 2
    assert "does not fit" not in shown


def test_operations_are_those_that_torch_counts() -> None:
    """torch's counter on Hugging Face's model and two full rows, forward and backward.

    Its matrix products are our matrices and head. Its attention covers whole rows in all layers; ours does so in the
    global layers only.
    """
    rows, length, vocab_size = 2, 128, 200
    tokenizer = Tokenizer(Path(), vocab_size, 3, 4, 5, 6, 0, (), "", "none", lambda _: [])
    network = ModernBertForMaskedLM(mlm.config(SMALL, tokenizer, vocab_size))
    network.set_attn_implementation("eager")
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        ids = torch.ones(rows, length, dtype=torch.int64)
        network(input_ids=ids, labels=ids).loss.backward()
    counted = counter.get_flop_counts()["Global"]
    ours = flops(SMALL, vocab_size, np.full(rows, length), rows * length)
    assert sum(counted[op] for op in (torch.ops.aten.mm, torch.ops.aten.addmm) if op in counted) == pytest.approx(
        ours.matrices + ours.head
    )
    assert counted[torch.ops.aten.bmm] == pytest.approx(ours.global_attention * SMALL.layers / 2)  # layers 0 and 3


@pytest.mark.parametrize("documents", ["truncate", "split"])
@pytest.mark.parametrize("least", [0, 50])
def test_pieces_are_those_of_simulated_documents(documents: str, least: int) -> None:
    stage = STAGE.model_copy(update={"documents": documents, "min_document_tokens": least})
    random = np.random.default_rng(0)
    texts = np.ceil(random.exponential(40, 200_000)).astype(int)
    tokens = []
    for text in texts[texts >= least].tolist():
        whole, rest = divmod(text, 62)
        tokens += [min(62, text)] if documents == "truncate" else [62] * whole + [rest] * (rest > 0)
    simulated = np.array(tokens) + 2
    pieces = piece_lengths(stage, 40)
    assert pieces.padding(64) == pytest.approx(1 - simulated.mean() / 64, abs=2e-3)
    pairs = (pieces.counts @ pieces.slots**2) / (pieces.counts @ pieces.slots)
    assert pairs == pytest.approx((simulated**2).sum() / simulated.sum(), rel=5e-3)


def test_pieces_follow_the_shares_of_the_stage() -> None:
    shares = [0.1, 0.2, 0.3, 0.4]
    pieces = piece_lengths(Stage(name="stage", length=8192, length_shares=shares), 2000)
    tokens = pieces.counts * pieces.slots
    bins = pairwise([0, 1024, 2048, 4096, 8192])
    in_bins = [tokens[(pieces.slots > low) & (pieces.slots <= high)].sum() for low, high in bins]
    assert [in_bin / tokens.sum() for in_bin in in_bins] == pytest.approx(shares, abs=1e-6)


def _plan(stage: Stage, base: Recipe, **options: Any) -> Plan:
    return plan(base.model_copy(update={"model": SMALL, "stage": [stage]}), 200, "a100", 2, [0.5], **options)


def test_all_ways_read_the_same_text(base: Recipe) -> None:
    """Unpacked, the recipe's slots are rows with padding; packed, they are text."""
    for packing in (False, True):
        stage = _plan(STAGE.model_copy(update={"packing": packing}), base, document_tokens=30).stages[0]
        everywhere, scored, packed = stage.ways
        assert everywhere.slots * (1 - stage.padding) == pytest.approx(stage.text_tokens)
        assert scored.slots == everywhere.slots
        assert packed.slots == stage.text_tokens
        assert (packed if packing else scored).slots == 10 * 512
        assert stage.own_way == (PACKED if packing else SCORED)


def test_time_is_work_by_speed(base: Recipe) -> None:
    stage = _plan(STAGE, base, padding=[0.25]).stages[0]
    assert stage.padding == pytest.approx(0.25, abs=1e-3)
    everywhere = stage.ways[0]
    rows = 10 * 512 / 0.75 / 64
    by_hand = rows * flops(SMALL, 200, np.array([64]), 64).total / (2 * 312e12 * 0.5)
    assert everywhere.seconds == pytest.approx(by_hand, rel=2e-3)
    assert everywhere.gpu_hours == pytest.approx(2 * everywhere.seconds / 3600)
    # The head is computed for the 38 of 128 slots that are scored.
    assert stage.ways[1].flops.head / everywhere.flops.head == pytest.approx(38 / 128)


def test_checkpointing_trades_memory_for_a_third_of_the_layers_work(base: Recipe) -> None:
    plain, checkpointed = (
        _plan(STAGE.model_copy(update={"gradient_checkpointing": on}), base).stages[0] for on in (False, True)
    )
    way = checkpointed.ways[2]
    assert way.recomputed == pytest.approx((way.flops.total - way.flops.head) / 3)
    assert way.seconds / plain.ways[2].seconds == pytest.approx(1 + way.recomputed / way.flops.total)
    assert sum(checkpointed.memory.values()) < sum(plain.memory.values())


def test_parameters_are_those_that_are_built(trained: Tokenizer) -> None:
    network = mlm.build(SMALL, trained, 0)
    counted = parameters(SMALL, network.config.vocab_size)
    weights = list(network.parameters())
    assert counted.vectors == sum(weight.numel() for weight in weights if weight.ndim == 1)
    assert counted.vocabulary == network.decoder.weight.numel()
    assert counted.total == sum(weight.numel() for weight in weights)
    assert parameters(Model(), 99_574).total == 187_494_646


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_moments_take_the_memory_of_the_optimizers_state(optimizer: str, trained: Tokenizer) -> None:
    stage = STAGE.model_copy(update={"optimizer": optimizer})
    network = mlm.build(SMALL, trained, 0)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    steppers = optimizers(network, stage)
    for stepper in steppers:
        stepper.step()
    state_tensors = [value for stepper in steppers for state in stepper.state.values() for value in state.values()]
    moments = sum(4 * value.numel() for value in state_tensors if value.ndim)
    parts = memory(SMALL, trained.vocab_size, stage)
    assert [size for name, size in parts.items() if "moment" in name] == [moments]


@pytest.mark.slow
def test_checkpoints_take_the_bytes_of_their_files(straight: Run, tiny: Recipe) -> None:
    """The run keeps all checkpoints, one stage with AdamW and one with Muon; headers make the files a little larger."""
    files = [path for name in straight.checkpoints() for path in straight.checkpoint(name).glob("*.safetensors")]
    disk = plan(tiny, 1200, "h100", 1, [0.5]).disk
    assert disk.checkpoints == len(straight.checkpoints())
    assert sum(path.stat().st_size for path in files) == pytest.approx(disk.stays, rel=0.02)


def test_the_comment_of_the_papers_recipe_states_its_disk(base: Recipe) -> None:
    disk = plan(base, 99_574, "h100", 16, [0.3]).disk
    assert f"{disk.checkpoints} checkpoints, {(disk.stays + disk.passes) / 1e9:.0f} GB" in BASE.read_text()


def test_the_entries_of_a_local_tokenizer_are_counted(trained: Tokenizer, base: Recipe) -> None:
    assert vocabulary_size(TokenizerTable(load=str(trained.folder), train=0, adapt="")) == 560
    assert vocabulary_size(TokenizerTable(train=4096, adapt="", load="")) == 4096
    assert vocabulary_size(base.tokenizer) == 99_574


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--gpus 16 --device h1000",
            "--device h1000: unknown; expected one of b200, h200, h100-pcie, h100, a100, a100-40gb, l40s",
        ),
        ("--gpus 24", "--gpus 24: the batch of stage 'stage1' is 128 micro-batches; expected one of 1, 2, 4, 8, 16"),
        ("--gpus 16 --mfu 30", "--mfu 30.0: not a share of the peak; expected above 0, at most 1"),
        ("--gpus 16 --mfu 0.1,0.2,0.3", "--mfu 0.1, 0.2, 0.3: 3 numbers for 2 stages; expected one for all stages"),
        ("--gpus 16 --mfu much", "--mfu much: "),
        ("--gpus 16 --padding 1.5", "--padding 1.5: out of range for stage 'stage1'; expected 0 to 0.997"),
        ("--gpus 16 --padding 0.5 --document-tokens 900", "--padding 0.5: "),
        ("--gpus 16 --set tokenizer.adapt=some/one", "tokenizer some/one: no such folder, and the Hub is switched off"),
        ("--gpus 16 --set stage.1.min_document_tokens=99999", "hardly a document has the 99999 tokens"),
    ],
)
def test_a_mistake_is_one_line(
    options: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, BASE, *options.split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_stage_that_does_not_fit_is_marked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert _run(monkeypatch, BASE, "--gpus", 16, "--device", "rtx4090") == 0
    assert capsys.readouterr().out.count("does not fit") == 2


@pytest.mark.slow
def test_planning_needs_no_torch() -> None:
    """The import of torch takes seconds; a plan without it takes a moment."""
    code = (
        "import sys; from pathlib import Path; from anaume import recipe; from anaume.plan import cost, table;"
        f"r = recipe.load(Path({str(BASE)!r})); p = cost.plan(r, cost.vocabulary_size(r.tokenizer), 'h100', 16, [0.3]);"
        "table.show(p); print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip().endswith("[]")


def test_the_plan_of_this_cpu_needs_no_gpus(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The device is measured in the precision of training; the time follows from it and from the default share."""
    asked: list[torch.dtype] = []

    def measured(_: torch.device, dtype: torch.dtype) -> float:
        asked.append(dtype)
        return 2e12

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    monkeypatch.setattr(machine, "peak_flops", measured)
    assert _run(monkeypatch, ROOT / "recipes" / "laptop.toml", "--device", "cpu", "--json") == 0
    table = json.loads(capsys.readouterr().out)
    assert (table["device"], table["gpus"], table["peak"], asked) == ("cpu", 1, 2e12, [torch.bfloat16])
    way = table["stages"][0]["ways"][2]
    assert way["seconds"] == pytest.approx(way["slots"] * way["flops"]["total"] / (0.5 * 2e12))
    assert 0.5 < table["device_memory"] < 1e5
    assert _run(monkeypatch, ROOT / "recipes" / "laptop.toml", "--device", "cpu") == 0
    printed = capsys.readouterr().out
    assert "laptop on this CPU (2,000 GFLOP/s measured in matrix products" in printed
    assert "CPU-hours" in printed
    assert "GPU" not in printed.partition("memory of each")[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--gpus: missing; expected the number of GPUs"),
        (("--device", "cpu", "--gpus", 2), "given with --device cpu"),
    ],
)
def test_a_gpu_is_counted_and_a_cpu_is_not(
    options: tuple[object, ...], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, BASE, *options) == 2
    assert message in capsys.readouterr().err
