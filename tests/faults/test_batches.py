"""Any documents, any rows, any number of processes: no token is lost or invented, and no special token is predicted."""

from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from anaume.batches.batch import IGNORE, PackedBatch
from anaume.batches.loader import Position, Share, advance, batches
from anaume.batches.masking import Masking
from anaume.batches.next_token import NextToken
from anaume.batches.plan import BatchPlan
from anaume.tokenizer.load import Tokenizer

FIRST = 300  # the first id of the documents; special ids and bytes are below


@dataclass(frozen=True)
class Texts:
    """Documents in memory: document d of length n holds the ids start, start + 1, … of no other document."""

    sizes: tuple[int, ...]
    start: int

    def __len__(self) -> int:
        return len(self.sizes)

    def lengths(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.array(self.sizes, np.int64)[indices]

    def document(self, index: int) -> NDArray[np.uint32]:
        first = self.start + sum(self.sizes[:index])
        return np.arange(first, first + self.sizes[index], dtype=np.uint32)


@st.composite
def plans(draw: st.DrawFn, tokenizer: Tokenizer) -> BatchPlan:
    """A plan of one or two sources of a few documents, whose ids all fit into the vocabulary."""
    length = draw(st.integers(8, 40))
    packing = draw(st.booleans())
    row_tokens = length * draw(st.integers(1, 3)) + (draw(st.integers(0, 7)) if packing else 0)
    sizes = draw(st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=4), min_size=1, max_size=2))
    starts = [FIRST, FIRST + sum(sizes[0])]
    targets = draw(
        st.one_of(
            st.builds(
                lambda rate, unit, span: {"masking": Masking(rate, rate, unit=unit, span_length=span)},
                st.floats(0.01, 0.9),
                st.sampled_from(["token", "span"]),
                st.floats(1, 5),
            ),
            st.builds(lambda share: {"next_token": NextToken(share)}, st.floats(0.05, 1)),
        )
    )
    return BatchPlan(
        [Texts(tuple(of_source), start) for of_source, start in zip(sizes, starts, strict=False)],
        (1.0,) * len(sizes),
        tokenizer,
        draw(st.integers(0, 2**40)),
        length,
        row_tokens,
        packing=packing,
        **targets,
    )


def original(batch: PackedBatch) -> NDArray[np.int64]:
    """The ids of a row before masking."""
    ids = batch.input_ids.copy()
    used = batch.labels != IGNORE
    if not batch.causal:
        ids[batch.scored[used]] = batch.labels[used]
    return ids


def epoch(plan: BatchPlan) -> list[PackedBatch]:
    """The batches of the first epoch."""
    rows = []
    for batch, after in batches(plan):
        rows.append(batch)
        if after.epoch:
            return rows
    raise AssertionError


@given(data=st.data())
def test_an_epoch_holds_each_token_once_in_the_order_of_its_document(data: st.DataObject, trained: Tokenizer) -> None:
    plan = data.draw(plans(trained))
    expected = {int(i) for store in plan.stores for d in range(len(store)) for i in store.document(d)}
    seen: list[int] = []
    for batch in epoch(plan):
        assert len(batch.input_ids) == len(batch.position_ids) == batch.lengths.sum() == plan.row_tokens
        assert batch.lengths.max() <= plan.length
        ids, starts = original(batch), np.cumsum(batch.lengths) - batch.lengths
        for start, size in zip(starts, batch.lengths, strict=True):
            piece = ids[start : start + size]
            assert batch.position_ids[start : start + size].tolist() == list(range(size))
            if piece[0] != trained.pad_id:
                assert (piece[0], piece[-1]) == (trained.cls_id, trained.sep_id)
                assert (np.diff(piece[1:-1]) == 1).all()  # the ids of a document are consecutive
                seen += piece[1:-1].tolist()
    assert sorted(seen) == sorted(expected)


@given(data=st.data())
def test_only_ordinary_tokens_are_predicted(data: st.DataObject, trained: Tokenizer) -> None:
    plan = data.draw(plans(trained))
    special = set(trained.special_ids)
    for batch in epoch(plan):
        ids, used = original(batch), batch.labels != IGNORE
        scored, labels = batch.scored[used], batch.labels[used]
        assert len(set(scored.tolist())) == len(scored)
        assert not special & set(labels.tolist())
        assert (ids[scored + batch.causal] == labels).all()
        changed = np.flatnonzero(batch.input_ids != ids)
        assert set(changed.tolist()) <= set(scored.tolist())
        replaced = set(batch.input_ids[changed].tolist()) - {trained.mask_id}
        assert not special & replaced


@given(data=st.data(), ranks=st.integers(1, 3), workers=st.integers(1, 3), skipped=st.integers(0, 5))
def test_ranks_workers_and_resumes_share_the_same_batches(
    data: st.DataObject, ranks: int, workers: int, skipped: int, trained: Tokenizer
) -> None:
    plan = data.draw(plans(trained))
    start = advance(plan, Position(), skipped)
    count = ranks * workers * 2
    whole = list(islice(batches(plan), skipped + count))[skipped:]
    assert start == (list(islice(batches(plan), skipped))[-1][1] if skipped else Position())
    for rank in range(ranks):
        shares = [Share(rank, ranks, worker, workers) for worker in range(workers)]
        streams = [batches(plan, start, share) for share in shares]
        for number in range(count // ranks):
            batch, after = next(streams[number % workers])
            same, after_same = whole[number * ranks + rank][0], whole[number * ranks + ranks - 1][1]
            assert after == after_same
            for name in ("input_ids", "position_ids", "lengths", "scored", "labels", "text_lengths"):
                np.testing.assert_array_equal(getattr(batch, name), getattr(same, name))


@given(data=st.data())
def test_a_weight_of_two_reads_each_token_twice(data: st.DataObject, trained: Tokenizer) -> None:
    plan = data.draw(plans(trained))
    twice = replace(plan, weights=(2.0,) * len(plan.weights))
    tokens = sum(int(store.lengths(np.arange(len(store))).sum()) for store in plan.stores)
    ids = np.concatenate([original(batch) for batch in epoch(twice)])
    _, counts = np.unique(ids[ids >= FIRST], return_counts=True)
    assert counts.sum() == 2 * tokens
    assert set(counts.tolist()) == {2}
