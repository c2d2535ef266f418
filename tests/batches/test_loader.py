"""Batches from real stores: every token once an epoch, in well-formed rows, and the same from any position."""

from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from anaume.batches.batch import IGNORE, PackedBatch
from anaume.batches.loader import Plan, Position, batches, fixed
from anaume.errors import UserError
from anaume.tokens import store
from anaume.tokens.store import Store
from anaume.tokens.tokenizer import Tokenizer

LENGTH, ROW = 32, 96


@pytest.fixture
def stores(tmp_path: Path, trained: Tokenizer) -> list[Store]:
    """Two sources; each document's ids tell which it is: document d of the first is made of the id 300 + d."""
    random = np.random.default_rng(0)
    made = []
    for number, count in enumerate([60, 40]):
        documents = [np.full(int(random.integers(1, 90)), 300 + 60 * number + d, np.uint32) for d in range(count)]
        made.append(
            store.write(
                tmp_path / str(number),
                documents,
                vocab_size=trained.vocab_size,
                vocabulary_hash=trained.vocabulary_hash,
            )
        )
    return made


@pytest.fixture
def plan(stores: list[Store], trained: Tokenizer) -> Plan:
    return Plan(stores, (1.0, 1.0), trained, seed=3, length=LENGTH, row_tokens=ROW, mask_rate=0.3)


def _epoch(plan: Plan) -> list[PackedBatch]:
    kept = []
    for batch, after in batches(plan):
        kept.append(batch)
        if after.epoch:
            return kept
    raise AssertionError


def _unmasked(batch: PackedBatch) -> np.ndarray:
    ids = batch.input_ids.copy()
    used = batch.labels != IGNORE
    ids[batch.scored[used]] = batch.labels[used]
    return ids


def test_an_epoch_holds_every_token_once(plan: Plan, stores: list[Store]) -> None:
    expected = Counter(int(i) for s in stores for d in range(len(s)) for i in s.document(d))
    found = Counter(int(i) for batch in _epoch(plan) for i in _unmasked(batch))
    assert {i: n for i, n in found.items() if i >= 300} == expected


def test_rows_are_well_formed(plan: Plan) -> None:
    tokenizer = plan.tokenizer
    for batch in _epoch(plan):
        assert len(batch.input_ids) == len(batch.position_ids) == batch.lengths.sum() == ROW
        assert batch.lengths.max() <= LENGTH
        assert len(batch.scored) == len(batch.labels) == int(0.3 * ROW)
        ids = _unmasked(batch)
        ends = np.cumsum(batch.lengths)
        for number, (end, length) in enumerate(zip(ends, batch.lengths, strict=True)):
            piece, positions = ids[end - length : end], batch.position_ids[end - length : end]
            assert positions.tolist() == list(range(length))
            if number < len(batch.text_lengths):
                assert (piece[0], piece[-1]) == (tokenizer.cls_id, tokenizer.sep_id)
                assert len(set(piece[1:-1].tolist())) == 1  # one document, whole or a part of it
            else:
                assert set(piece.tolist()) == {tokenizer.pad_id}


def test_masks_spare_special_tokens(plan: Plan) -> None:
    special = {plan.tokenizer.cls_id, plan.tokenizer.sep_id, plan.tokenizer.pad_id}
    for batch in _epoch(plan):
        assert not special & set(batch.labels.tolist())
        hidden = batch.input_ids[batch.scored[batch.labels != IGNORE]]
        assert not special & set(hidden.tolist())


def test_resuming_at_any_position_gives_the_rest(plan: Plan) -> None:
    straight = list(islice(batches(plan), 120))
    assert straight[-1][1].epoch >= 1
    for stop in (1, 7, 60, 100):
        resumed = islice(batches(plan, straight[stop - 1][1]), 20)
        for (ours, after), (theirs, position) in zip(resumed, straight[stop : stop + 20], strict=True):
            assert after == position
            np.testing.assert_array_equal(ours.input_ids, theirs.input_ids)
            np.testing.assert_array_equal(ours.labels, theirs.labels)


def test_epochs_and_seeds_differ(plan: Plan) -> None:
    first, other = next(batches(plan))[0], next(batches(replace(plan, seed=4)))[0]
    second = next(batches(plan, Position(epoch=1)))[0]
    assert not np.array_equal(first.input_ids, other.input_ids)
    assert not np.array_equal(first.input_ids, second.input_ids)


def test_windows_partition_the_epoch(plan: Plan, stores: list[Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anaume.batches.loader.WINDOW_ROWS", 3)
    assert plan.window_documents < 20
    test_an_epoch_holds_every_token_once(plan, stores)
    test_resuming_at_any_position_gives_the_rest(plan)


def test_short_documents_are_left_out_on_request(plan: Plan) -> None:
    kept = _epoch(replace(plan, min_document_tokens=50))
    lengths = [len(s.document(d)) for s in plan.stores for d in range(len(s))]
    assert sum(batch.tokens - 2 * len(batch.text_lengths) for batch in kept) == sum(n for n in lengths if n >= 50)
    with pytest.raises(UserError, match="min_document_tokens = 1000: no document"):
        next(batches(replace(plan, min_document_tokens=1000)))


def test_the_papers_way_pads_each_document_to_a_row(plan: Plan) -> None:
    papers = replace(plan, documents="truncate", packing=False)
    seen = 0
    for batch in _epoch(papers):
        seen += len(batch.text_lengths)
        starts = np.cumsum(batch.lengths) - batch.lengths
        is_text = np.isin(_unmasked(batch)[starts], [plan.tokenizer.cls_id])
        assert set(starts[is_text].tolist()) <= {0, 32, 64}
    assert seen == 100


def test_fixed_batches_repeat_and_stop(plan: Plan) -> None:
    some, again = fixed(plan, 500), fixed(plan, 500)
    assert 400 < sum(batch.tokens for batch in some) <= 500
    assert all(np.array_equal(a.labels, b.labels) for a, b in zip(some, again, strict=True))
    whole = fixed(plan, 10**9)
    assert len(whole) == len(_epoch(plan))


def test_a_row_mixes_documents(trained: Tokenizer, tmp_path: Path) -> None:
    """Long documents fall into many pieces of one length; those of one document must not fill a row together."""
    documents = [np.full(3000, 300 + d, np.uint32) for d in range(20)]
    long = store.write(
        tmp_path / "long", documents, vocab_size=trained.vocab_size, vocabulary_hash=trained.vocabulary_hash
    )
    plan = Plan([long], (1.0,), trained, seed=3, length=LENGTH, row_tokens=8 * LENGTH, mask_rate=0.3)
    full = [batch for batch in _epoch(plan) if len(batch.text_lengths) == 8]
    mixed = [len(set(_unmasked(batch).tolist()) & set(range(300, 320))) for batch in full]
    assert np.mean(mixed) > 5
