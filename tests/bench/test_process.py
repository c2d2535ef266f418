"""One side of the comparison: it reads the documents that it should read, and counts text only."""

import math
from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from tests.bench.conftest import PEAKS

from anaume.batches.batch import IGNORE
from anaume.batches.loader import Position, batches
from anaume.batches.plan import BatchPlan
from anaume.bench.rounds import BenchJob, Round
from anaume.bench.stock import grouped_rows, grouped_trainer, padded_rows, text_lengths
from anaume.model.flops import training_flops
from anaume.model.mlm import multiplies_bfloat16
from anaume.pretrain.ranks.rank import this_rank
from anaume.recipe import Recipe

ROWS = 3  # documents per micro-batch


def test_the_padded_loop_reads_each_document_once_an_epoch(plan: BatchPlan) -> None:
    store = plan.stores[0]
    expected: Counter[tuple[int, ...]] = Counter()
    for index in range(len(store)):
        ids = store.document(index)[: plan.length - 2].tolist()
        expected[(plan.tokenizer.cls_id, *ids, plan.tokenizer.sep_id)] += 1
    for epoch in (0, 1):
        assert Counter(map(tuple, islice(padded_rows(plan, epoch), len(store)))) == expected


def test_the_grouped_loop_reads_each_token_once_an_epoch(plan: BatchPlan) -> None:
    """Its rows are cut from all documents of the padded loop's order, whole and without padding."""
    whole = replace(plan, length=100_000)
    text = [token for row in islice(padded_rows(whole, 1), len(plan.stores[0])) for token in row]
    rows = list(islice(grouped_rows(plan, 1), len(text) // plan.length))
    assert [token for row in rows for token in row] == text[: len(rows) * plan.length]
    assert {len(row) for row in rows} == {plan.length}


def test_both_sides_read_the_same_order(plan: BatchPlan) -> None:
    """The padded loop's first rows are the documents of our first window."""
    whole = replace(plan, documents="truncate")
    padded = list(map(tuple, islice(padded_rows(plan, 2), 15)))
    packed: list[tuple[int, ...]] = []
    for batch, after in batches(whole, Position(epoch=2)):
        ids = batch.input_ids.copy()
        ids[batch.scored[batch.labels >= 0]] = batch.labels[batch.labels >= 0]
        # Text and padding lie in segments; a padding segment begins with no [CLS].
        segments = np.split(ids, np.cumsum(batch.lengths)[:-1])
        packed += [tuple(segment.tolist()) for segment in segments if segment[0] == plan.tokenizer.cls_id]
        if after.window or after.epoch > 2:
            break
    assert set(padded) <= set(packed)


def test_short_documents_are_left_out_on_both_sides(plan: BatchPlan) -> None:
    long = replace(plan, min_document_tokens=60)
    assert min(len(row) for row in islice(padded_rows(long, 0), 30)) >= 62


def test_the_lengths_of_pieces_are_told_by_their_beginnings() -> None:
    assert text_lengths([[1, 7, 7, 2, 1, 8], [8, 2, 1, 2]], cls_id=1).tolist() == [4, 2, 2, 2]


@pytest.mark.slow
def test_text_is_counted(rounds: dict[str, Round], selected: Recipe, plan: BatchPlan) -> None:
    """Tokens, slots and operations of each timed step, computed from the documents; the first step is not timed."""
    vocab_size, model = plan.tokenizer.vocab_size, selected.model
    for side, stream in (("padded", padded_rows(plan, 0)), ("grouped", grouped_rows(plan, 0))):
        list(islice(stream, ROWS))
        for step in rounds[side].steps:
            rows = list(islice(stream, ROWS))
            tokens = sum(map(len, rows))
            assert (step.tokens, step.slots) == (tokens, ROWS * max(map(len, rows)))
            # The collator hides about 30 % of the tokens.
            lengths = text_lengths(rows, plan.tokenizer.cls_id)
            low, high = (training_flops(model, vocab_size, lengths, int(tokens * share)) for share in (0.15, 0.45))
            assert low < step.flops < high
    ours = islice(batches(plan), 1, None)
    for step, (batch, _) in zip(rounds["anaume"].steps, ours, strict=False):
        assert (step.tokens, step.slots) == (batch.tokens, 256)
        assert step.flops == training_flops(model, vocab_size, batch.text_lengths, batch.targets)
    for measured in rounds.values():
        assert len(measured.steps) >= 2
        # Untrained or hardly trained, all sides guess among all entries.
        assert measured.steps[0].loss == pytest.approx(math.log(vocab_size), rel=0.15)


@pytest.mark.slow
def test_the_grouped_loop_scores_masked_positions_only(selected: Recipe, plan: BatchPlan) -> None:
    job = BenchJob("grouped", selected.model_dump(), "", ROWS, 0, 0, "")
    network = grouped_trainer(selected, plan, job, this_rank()).network
    ids = torch.arange(8, 20)[None]
    labels = torch.where(ids % 4 == 0, ids, IGNORE)
    assert network(ids, labels=labels).logits.shape[0] == 3


@pytest.mark.slow
def test_each_side_is_measured_in_its_own_dtype(rounds: dict[str, Round]) -> None:
    """The grouped loop multiplies in bfloat16 where the CPU has instructions for it."""
    grouped = "bfloat16" if multiplies_bfloat16(torch.device("cpu")) else "float32"
    expected = {"grouped": grouped, "padded": "float32", "anaume": "bfloat16"}
    assert {side: measured.products for side, measured in rounds.items()} == expected
    for side, dtype in expected.items():
        assert rounds[side].peaks == (PEAKS[getattr(torch, dtype)],) * 2
    assert all(measured.memory > 1e8 for measured in rounds.values())
