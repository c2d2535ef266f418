"""The comparison: both sides read what they say they read, and count what they say they count."""

import json
import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anaume import cli
from anaume.batches.loader import Position, batches
from anaume.batches.plan import BatchPlan
from anaume.bench import compare
from anaume.bench.process import padded_rows
from anaume.errors import UserError
from anaume.model.flops import training_flops
from anaume.pretrain.prepare import RunData, prepare
from anaume.recipe import Recipe, to_toml
from anaume.run import Run

ROWS = 3


@pytest.fixture(scope="module")
def chosen(tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """The tiny recipe's second stage, as the command would choose it."""
    file = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    file.write_text(to_toml(tiny), encoding="utf-8")
    return compare.select_recipe(
        file, ["stage.second.optimizer=adamw", "precision=bfloat16"], "", "", "second", 0, 0, 0
    )


@pytest.fixture(scope="module")
def data(chosen: Recipe, tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return prepare(chosen, Run(tmp_path_factory.mktemp("data") / "run"))


@pytest.fixture(scope="module")
def plan(chosen: Recipe, data: RunData) -> BatchPlan:
    return data.plan(chosen, chosen.stage[0], "train")


@pytest.fixture(scope="module")
def result(chosen: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One round of both sides in their own processes, as few steps as there can be."""
    out = tmp_path_factory.mktemp("out") / "bench.json"
    compare.bench(chosen, ROWS, seconds=0, rounds=1, out=out)
    return json.loads(out.read_text(encoding="utf-8"))


def test_the_padded_loop_reads_each_document_once_an_epoch(plan: BatchPlan) -> None:
    store = plan.stores[0]
    expected: Counter[tuple[int, ...]] = Counter()
    for index in range(len(store)):
        ids = store.document(index)[: plan.length - 2].tolist()
        expected[(plan.tokenizer.cls_id, *ids, plan.tokenizer.sep_id)] += 1
    for epoch in (0, 1):
        stream = (row for rows in padded_rows(plan, ROWS, epoch) for row in rows)
        assert Counter(tuple(row) for row in islice(stream, len(store))) == expected


def test_both_sides_read_the_same_order(plan: BatchPlan) -> None:
    """The padded loop's first rows are the documents of our first window."""
    whole = replace(plan, documents="truncate")
    first = [tuple(row) for rows in islice(padded_rows(plan, ROWS, 2), 5) for row in rows]
    found: list[tuple[int, ...]] = []
    for batch, after in batches(whole, Position(epoch=2)):
        ids = batch.input_ids.copy()
        ids[batch.scored[batch.labels >= 0]] = batch.labels[batch.labels >= 0]
        # Text and padding lie in segments; a padding segment begins with no [CLS].
        parts = np.split(ids, np.cumsum(batch.lengths)[:-1])
        found += [tuple(part.tolist()) for part in parts if part[0] == plan.tokenizer.cls_id]
        if after.window or after.epoch > 2:
            break
    assert set(first) <= set(found)


def test_short_documents_are_left_out_on_both_sides(plan: BatchPlan) -> None:
    long = replace(plan, min_document_tokens=60)
    rows = [row for rows in islice(padded_rows(long, ROWS, 0), 10) for row in rows]
    assert min(len(row) for row in rows) >= 62


def test_what_is_counted_is_text(result: Any, chosen: Recipe, plan: BatchPlan) -> None:
    """Each timed step's tokens, slots and operations, computed anew from the documents; the first one is not timed."""
    rounds = {one["side"]: one for one in result["rounds"]}
    vocab_size, model = plan.tokenizer.vocab_size, chosen.model
    padded = islice(padded_rows(plan, ROWS, 0), 1, None)
    for step, rows in zip(rounds["padded"]["steps"], padded, strict=False):
        lengths = [len(row) for row in rows]
        assert (step["tokens"], step["slots"]) == (sum(lengths), ROWS * max(lengths))
        # The collator hides about 30 % of the tokens.
        low, high = (training_flops(model, vocab_size, np.array(lengths), int(sum(lengths) * s)) for s in (0.15, 0.45))
        assert low < step["flops"] < high
    ours = islice(batches(plan), 1, None)
    for step, (batch, _) in zip(rounds["anaume"]["steps"], ours, strict=False):
        assert (step["tokens"], step["slots"]) == (batch.tokens, 256)
        assert step["flops"] == training_flops(model, vocab_size, batch.text_lengths, batch.targets)
    for one in rounds.values():
        assert len(one["steps"]) >= 2
        # Untrained and hardly trained: both guess among all entries.
        assert one["steps"][0]["loss"] == pytest.approx(math.log(vocab_size), rel=0.15)


def test_the_summary_follows_from_the_steps(result: Any) -> None:
    for one in result["rounds"]:
        side = result["sides"][one["side"]]
        seconds, tokens = (sum(step[key] for step in one["steps"]) for key in ("seconds", "tokens"))
        slots, flops = (sum(step[key] for step in one["steps"]) for key in ("slots", "flops"))
        assert side["tokens_per_second"] == pytest.approx(tokens / seconds)
        assert side["padding_fraction"] == pytest.approx(1 - tokens / slots)
        assert side["mfu"] == pytest.approx(flops / seconds / side["peak_flops"]["highest"])
        assert side["memory"] == one["memory"] > 1e8
        assert side["peak_flops"]["lowest"] <= min(one["peaks"])
        assert side["products"] == {"padded": "float32", "anaume": "bfloat16"}[one["side"]]
    speeds = {name: side["tokens_per_second"] for name, side in result["sides"].items()}
    assert result["speed_ratio"] == pytest.approx(speeds["anaume"] / speeds["padded"])


HELD = """
import numpy, torch
from anaume.bench_side import peak_memory
before = peak_memory(torch.device("cpu"))
held = numpy.ones(2 * before, numpy.uint8)
after = peak_memory(torch.device("cpu"))
del held
print(before, after, peak_memory(torch.device("cpu")))
"""


def test_peak_memory_is_what_was_held() -> None:
    """In a process of its own: in this one another test may have held more."""
    said = subprocess.run([sys.executable, "-c", HELD], capture_output=True, check=True, text=True).stdout
    before, after, later = map(int, said.split())
    assert after - before > 1.5 * before
    assert later > 0.99 * after  # the system counts in batches


def test_options_change_the_recipe() -> None:
    found = compare.select_recipe(
        None, ["stage.0.mask_rate=0.2"], "builtin:hakoniwa", "some/folder", "", 16_384, 3, 192
    )
    assert (found.model.layers, found.model.hidden, found.model.heads, found.model.intermediate) == (3, 192, 3, 288)
    stage = found.stage[0]
    assert (stage.length, stage.micro_batch_tokens, stage.batch_tokens) == (16_384, 16_384, 16_384)
    assert stage.mask_rate == 0.2
    assert found.tokenizer.adapt == "some/folder"
    assert found.corpus.train[0].max_documents == compare.DOCUMENTS


def test_a_side_that_fails_is_one_line(chosen: Recipe, tmp_path: Path) -> None:
    job = compare.Job("padded", chosen.model_dump(), str(tmp_path / "absent"), 8, 0, 0, str(tmp_path / "out"))
    with pytest.raises(UserError, match=r"padded Hugging Face loop ended with status 1: .* fewer --rows than 8"):
        compare._measure(job)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("absent.toml", "absent.toml: cannot read the recipe"),
        ("--stage second", "--stage second: accepted: stage1"),
        ("--corpus absent*.jsonl", "absent*.jsonl"),
        ("--tokenizer absent/folder/here", "absent/folder/here"),
        ("--hidden 97", "model: heads = 1 with hidden = 97"),
    ],
)
def test_a_mistake_is_one_line(
    options: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["anaume", "bench", *options.split()])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.strip().splitlines()[-1].startswith("anaume: ")
