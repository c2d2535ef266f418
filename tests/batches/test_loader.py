"""Batches from stores on disk: each token once an epoch, well-formed rows, and equal batches from any position."""

from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from anaume.batches.batch import IGNORE, PackedBatch
from anaume.batches.lengths import tokens_by_bin
from anaume.batches.loader import Position, Share, advance, batches, validation_batches
from anaume.batches.masking import Masking
from anaume.batches.plan import BatchPlan
from anaume.batches.workers import prefetch
from anaume.corpus.readers import parse_source
from anaume.errors import UserError
from anaume.tokenizer.load import Tokenizer
from anaume.tokens import memory, store
from anaume.tokens.build import build, open_stores
from anaume.tokens.store import Store

LENGTH, ROW = 32, 96


@pytest.fixture
def stores(tmp_path: Path, trained: Tokenizer) -> list[Store]:
    """Two sources of 60 and 40 documents. Document d of the first repeats the id 300 + d, of the second 360 + d."""
    random = np.random.default_rng(0)
    stores = []
    for number, count in enumerate([60, 40]):
        documents = [np.full(int(random.integers(1, 90)), 300 + 60 * number + d, np.uint32) for d in range(count)]
        stores.append(
            store.write(
                tmp_path / str(number),
                documents,
                vocab_size=trained.vocab_size,
                vocabulary_hash=trained.vocabulary_hash,
            )
        )
    return stores


@pytest.fixture
def plan(stores: list[Store], trained: Tokenizer) -> BatchPlan:
    return BatchPlan(stores, (1.0, 1.0), trained, seed=3, length=LENGTH, row_tokens=ROW)


def _epoch(plan: BatchPlan) -> list[PackedBatch]:
    epoch = []
    for batch, after in batches(plan):
        epoch.append(batch)
        if after.epoch:
            return epoch
    raise AssertionError


def _unmasked(batch: PackedBatch) -> np.ndarray:
    ids = batch.input_ids.copy()
    used = batch.labels != IGNORE
    ids[batch.scored[used]] = batch.labels[used]
    return ids


def test_an_epoch_holds_every_token_once(plan: BatchPlan, stores: list[Store]) -> None:
    expected = Counter(int(i) for s in stores for d in range(len(s)) for i in s.document(d))
    counted = Counter(int(i) for batch in _epoch(plan) for i in _unmasked(batch))
    assert {i: n for i, n in counted.items() if i >= 300} == expected


def test_rows_are_well_formed(plan: BatchPlan) -> None:
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
                assert len(set(piece[1:-1].tolist())) == 1  # a piece comes from one document
            else:
                assert set(piece.tolist()) == {tokenizer.pad_id}


def test_special_tokens_are_never_masked(plan: BatchPlan) -> None:
    special = {plan.tokenizer.cls_id, plan.tokenizer.sep_id, plan.tokenizer.pad_id}
    for batch in _epoch(plan):
        assert not special & set(batch.labels.tolist())
        hidden = batch.input_ids[batch.scored[batch.labels != IGNORE]]
        assert not special & set(hidden.tolist())


def test_reading_resumes_at_any_position(plan: BatchPlan) -> None:
    straight = list(islice(batches(plan), 120))
    assert straight[-1][1].epoch >= 1
    for stop in (1, 7, 60, 100):
        resumed = islice(batches(plan, straight[stop - 1][1]), 20)
        for (ours, after), (theirs, position) in zip(resumed, straight[stop : stop + 20], strict=True):
            assert after == position
            np.testing.assert_array_equal(ours.input_ids, theirs.input_ids)
            np.testing.assert_array_equal(ours.labels, theirs.labels)


def test_epochs_and_seeds_differ(plan: BatchPlan) -> None:
    first, other = next(batches(plan))[0], next(batches(replace(plan, seed=4)))[0]
    second = next(batches(plan, Position(epoch=1)))[0]
    assert not np.array_equal(first.input_ids, other.input_ids)
    assert not np.array_equal(first.input_ids, second.input_ids)


def test_windows_partition_the_epoch(plan: BatchPlan, stores: list[Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anaume.batches.plan.WINDOW_ROWS", 3)
    assert plan.window_documents < 20
    test_an_epoch_holds_every_token_once(plan, stores)
    test_reading_resumes_at_any_position(plan)


def test_min_document_tokens_leaves_out_short_documents(plan: BatchPlan) -> None:
    kept = _epoch(replace(plan, min_document_tokens=50))
    lengths = [len(s.document(d)) for s in plan.stores for d in range(len(s))]
    assert sum(batch.tokens - 2 * len(batch.text_lengths) for batch in kept) == sum(n for n in lengths if n >= 50)
    with pytest.raises(UserError, match="min_document_tokens = 1000: no document"):
        next(batches(replace(plan, min_document_tokens=1000)))


def test_without_packing_each_document_is_padded_to_the_length(plan: BatchPlan) -> None:
    unpacked = replace(plan, documents="truncate", packing=False)
    seen = 0
    for batch in _epoch(unpacked):
        seen += len(batch.text_lengths)
        starts = np.cumsum(batch.lengths) - batch.lengths
        is_text = np.isin(_unmasked(batch)[starts], [plan.tokenizer.cls_id])
        assert set(starts[is_text].tolist()) <= {0, 32, 64}
    assert seen == 100


def _same(ours: PackedBatch, theirs: PackedBatch) -> bool:
    return all(np.array_equal(getattr(ours, name), getattr(theirs, name)) for name in vars(theirs))


@pytest.mark.parametrize(("ranks", "workers"), [(2, 1), (3, 2), (1, 3), (4, 3)])
def test_ranks_and_workers_share_the_same_batches(plan: BatchPlan, ranks: int, workers: int) -> None:
    start = list(islice(batches(plan), 17))[-1][1]
    expected = list(islice(batches(plan, start), 24 * ranks))
    for rank in range(ranks):
        shares = [batches(plan, start, Share(rank, ranks, worker, workers)) for worker in range(workers)]
        for number in range(24):
            batch, after = next(shares[number % workers])
            assert _same(batch, expected[number * ranks + rank][0])
            assert after == expected[number * ranks + ranks - 1][1]


def test_the_number_of_ranks_may_change_between_runs(plan: BatchPlan) -> None:
    straight = list(islice(batches(plan), 40))
    at = list(islice(batches(plan, Position(), Share(1, 4)), 5))[-1][1]
    resumed = [next(batches(plan, at, Share(rank, 2)))[0] for rank in range(2)]
    assert [_same(batch, straight[20 + rank][0]) for rank, batch in enumerate(resumed)] == [True, True]


@pytest.mark.slow
def test_worker_processes_make_the_batches_of_one_process(plan: BatchPlan) -> None:
    expected = list(islice(batches(plan), 12))
    with prefetch(plan, Position(), Share(), 2) as stream:
        for (ours, after), (theirs, position) in zip(islice(stream, 12), expected, strict=True):
            assert _same(ours, theirs)
            assert after == position


def test_a_position_counts_the_tokens_read(plan: BatchPlan) -> None:
    read = list(islice(batches(plan), 90))
    lengths = np.concatenate([batch.text_lengths for batch, _ in read])
    after = read[-1][1]
    assert after.batches == 90
    assert sum(after.source_tokens) == sum(after.length_tokens) == lengths.sum()
    assert after.length_tokens == tuple(tokens_by_bin(lengths))
    of_second = 0
    for batch, _ in read:
        starts = np.cumsum(batch.text_lengths) - batch.text_lengths
        of_second += batch.text_lengths[_unmasked(batch)[starts + 1] >= 360].sum()  # ids of the second source
    assert after.source_tokens[1] == of_second


@pytest.mark.parametrize("unit", ["word", "span"])
def test_masking_by_unit_is_repeatable_and_changes_the_selection_only(
    plan: BatchPlan, unit: Literal["word", "span"]
) -> None:
    by_unit = replace(plan, masking=Masking(unit=unit))
    for (ours, _), (again, _), (plain, _) in islice(zip(*map(batches, (by_unit, by_unit, plan)), strict=True), 20):
        assert _same(ours, again)
        assert np.array_equal(ours.lengths, plain.lengths)
        assert not np.array_equal(ours.scored, plain.scored)
        assert np.array_equal(_unmasked(ours), _unmasked(plain))


def test_the_mask_rate_follows_the_number_of_batches(plan: BatchPlan) -> None:
    falling = replace(plan, masking=Masking(0.3, 0.1, batches=40))
    rates = [batch.targets / (batch.tokens - 2 * len(batch.text_lengths)) for batch, _ in islice(batches(falling), 60)]
    assert rates[0] > 0.28
    assert np.allclose(rates[41:], 0.1, atol=0.02)
    (resumed, _) = next(batches(falling, list(islice(batches(falling), 30))[-1][1]))
    assert _same(resumed, list(islice(batches(falling), 31))[-1][0])


def test_a_corpus_in_memory_gives_the_batches_of_a_store(tmp_path: Path, corpus: Path, trained: Tokenizer) -> None:
    source = parse_source(str(corpus))
    build([source], trained, tmp_path / "tokens")
    on_disk = BatchPlan(
        open_stores(tmp_path / "tokens", trained), (1.0,), trained, seed=3, length=LENGTH, row_tokens=ROW
    )
    encoded = memory.encode(source, trained)
    assert encoded.tokens == sum(on_disk.stores[0].lengths(np.arange(len(encoded))))
    in_memory = replace(on_disk, stores=[encoded])
    for (ours, _), (theirs, _) in islice(zip(batches(in_memory), batches(on_disk), strict=True), 20):
        assert _same(ours, theirs)


@pytest.mark.parametrize("tokens", [1, 40, 500])
def test_validation_scores_the_targets_among_its_first_tokens(tokens: int, plan: BatchPlan) -> None:
    some = validation_batches(plan, tokens)
    whole = [batch for batch, _ in islice(batches(plan), len(some))]
    assert sum(batch.tokens for batch in some[:-1]) < tokens <= sum(batch.tokens for batch in some)
    targets, read = [], 0
    for batch in whole:
        is_text = batch.input_ids != plan.tokenizer.pad_id
        numbers = read + np.cumsum(is_text)
        targets += [
            (number, label)
            for number, label in zip(numbers[batch.scored], batch.labels, strict=True)
            if label != IGNORE and number <= tokens
        ]
        read += int(is_text.sum())
    scored = [label for batch in some for label in batch.labels if label != IGNORE]
    assert scored == [label for _, label in targets]


def test_validation_batches_repeat_and_stop(plan: BatchPlan) -> None:
    some, again = validation_batches(plan, 500), validation_batches(plan, 500)
    assert all(np.array_equal(a.labels, b.labels) for a, b in zip(some, again, strict=True))
    whole = validation_batches(plan, 10**9)
    assert len(whole) == len(_epoch(plan))


def test_a_row_mixes_documents(trained: Tokenizer, tmp_path: Path) -> None:
    """The full-length pieces of a long document are spread over many rows."""
    documents = [np.full(3000, 300 + d, np.uint32) for d in range(20)]
    long = store.write(
        tmp_path / "long", documents, vocab_size=trained.vocab_size, vocabulary_hash=trained.vocabulary_hash
    )
    plan = BatchPlan([long], (1.0,), trained, seed=3, length=LENGTH, row_tokens=8 * LENGTH)
    full = [batch for batch in _epoch(plan) if len(batch.text_lengths) == 8]
    mixed = [len(set(_unmasked(batch).tolist()) & set(range(300, 320))) for batch in full]
    assert np.mean(mixed) > 5


def test_length_shares_are_reached(trained: Tokenizer, tmp_path: Path) -> None:
    """Half of the tokens can come from the bins that hold an eighth of the corpus; the seed selects the pieces."""
    random = np.random.default_rng(0)
    sizes = [*random.integers(50, 900, 4000), *random.integers(2500, 4000, 60), *random.integers(9000, 20000, 8)]
    documents = [np.full(size, 300 + i % 200, np.uint32) for i, size in enumerate(sizes)]
    mixed = store.write(
        tmp_path / "mixed", documents, vocab_size=trained.vocab_size, vocabulary_hash=trained.vocabulary_hash
    )
    plain = BatchPlan([mixed], (1.0,), trained, seed=3, length=8192, row_tokens=8192)
    resampled = replace(plain, length_shares=(0.5, 0.0, 0.2, 0.3))
    tokens = np.array(
        [tokens_by_bin(np.concatenate([batch.text_lengths for batch in _epoch(plan)])) for plan in (plain, resampled)]
    )
    shares = tokens / tokens.sum(1, keepdims=True)
    assert shares[0, 0] > 0.8
    assert shares[1] == pytest.approx([0.5, 0, 0.2, 0.3, 0], abs=0.05)
    assert tokens[1, 3] == tokens[0, 3]  # the scarcest bin is kept whole
    assert set(_unmasked(_epoch(resampled)[0])) != set(_unmasked(_epoch(replace(resampled, seed=4))[0]))


def test_length_shares_that_the_corpus_lacks_are_an_error(plan: BatchPlan) -> None:
    with pytest.raises(UserError, match=r"no piece of \(1024, 2048\] tokens among 100 documents at length = 32"):
        next(batches(replace(plan, length_shares=(0.5, 0.5, 0.0, 0.0))))


def test_advance_returns_the_position_that_reading_reaches(plan: BatchPlan) -> None:
    read = [after for _, after in islice(batches(plan), 90)]
    assert advance(plan, Position(), 90) == read[89]
    assert advance(plan, read[9], 33) == read[42]
    assert advance(plan, read[9], 0) == read[9]
