"""One side of the comparison: it reads the documents that it should read, and counts text only."""

import math
from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from anaume.batches.loader import Position, batches
from anaume.batches.plan import BatchPlan
from anaume.bench.process import padded_rows
from anaume.bench.rounds import Round
from anaume.model.flops import training_flops
from anaume.recipe import Recipe

ROWS = 3  # documents per micro-batch


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
    padded = [tuple(row) for rows in islice(padded_rows(plan, ROWS, 2), 5) for row in rows]
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
    rows = [row for rows in islice(padded_rows(long, ROWS, 0), 10) for row in rows]
    assert min(len(row) for row in rows) >= 62


@pytest.mark.slow
def test_text_is_counted(rounds: dict[str, Round], selected: Recipe, plan: BatchPlan) -> None:
    """Tokens, slots and operations of each timed step, computed from the documents; the first step is not timed."""
    vocab_size, model = plan.tokenizer.vocab_size, selected.model
    padded = islice(padded_rows(plan, ROWS, 0), 1, None)
    for step, rows in zip(rounds["padded"].steps, padded, strict=False):
        lengths = [len(row) for row in rows]
        assert (step.tokens, step.slots) == (sum(lengths), ROWS * max(lengths))
        # The collator hides about 30 % of the tokens.
        low, high = (training_flops(model, vocab_size, np.array(lengths), int(sum(lengths) * s)) for s in (0.15, 0.45))
        assert low < step.flops < high
    ours = islice(batches(plan), 1, None)
    for step, (batch, _) in zip(rounds["anaume"].steps, ours, strict=False):
        assert (step.tokens, step.slots) == (batch.tokens, 256)
        assert step.flops == training_flops(model, vocab_size, batch.text_lengths, batch.targets)
    for measured in rounds.values():
        assert len(measured.steps) >= 2
        # Untrained or hardly trained, both sides guess among all entries.
        assert measured.steps[0].loss == pytest.approx(math.log(vocab_size), rel=0.15)


@pytest.mark.slow
def test_each_side_is_measured_in_its_own_dtype(rounds: dict[str, Round]) -> None:
    assert {side: measured.products for side, measured in rounds.items()} == {"padded": "float32", "anaume": "bfloat16"}
    assert {side: measured.peaks for side, measured in rounds.items()} == {"padded": (2e9, 2e9), "anaume": (4e9, 4e9)}
    assert all(measured.memory > 1e8 for measured in rounds.values())
