from dataclasses import replace

import numpy as np
import pytest

from anaume.batches.batch import IGNORE
from anaume.batches.masking import Masking, mask, span_starts
from anaume.tokenizer.load import Tokenizer
from anaume.tokenizer.vocabulary import Vocabulary


@pytest.fixture
def vocabulary(trained: Tokenizer) -> Vocabulary:
    return Vocabulary(trained)


def _random_ids(vocabulary: Vocabulary, size: int) -> np.ndarray:
    return np.random.default_rng(0).choice(vocabulary.ordinary_ids, size)


def test_default_shares_are_the_papers(vocabulary: Vocabulary) -> None:
    original = _random_ids(vocabulary, 100_000)
    ids = original.copy()
    scored, labels = mask(ids, np.arange(100_000), None, 30_000, Masking(), vocabulary, np.random.default_rng(1))
    assert (labels != IGNORE).sum() == 30_000
    assert len(set(scored.tolist())) == 30_000
    assert (labels == original[scored]).all()
    masked = ids[scored]
    assert abs((masked == vocabulary.tokenizer.mask_id).mean() - 0.8) < 0.01
    assert abs((masked == labels).mean() - 0.1) < 0.01
    untouched = np.setdiff1d(np.arange(100_000), scored)
    assert (ids[untouched] == original[untouched]).all()


def test_shares_are_settings(vocabulary: Vocabulary) -> None:
    original = _random_ids(vocabulary, 10_000)
    ids = original.copy()
    all_random = replace(Masking(), mask_share=0.0, random_share=1.0)
    scored, labels = mask(ids, np.arange(10_000), None, 3_000, all_random, vocabulary, np.random.default_rng(1))
    assert (ids == vocabulary.tokenizer.mask_id).sum() == 0
    assert (ids[scored] != labels).mean() > 0.99


def test_only_candidates_change_and_replacements_are_ordinary_ids(vocabulary: Vocabulary) -> None:
    ids = np.full(1000, vocabulary.tokenizer.cls_id)
    candidates = np.arange(100, 600)
    ids[candidates] = 500
    scored, labels = mask(ids, candidates, None, 150, Masking(), vocabulary, np.random.default_rng(0))
    used = labels != IGNORE
    assert used.sum() == 150
    assert set(scored[used]) <= set(candidates.tolist())
    assert set(ids[candidates]) <= {vocabulary.tokenizer.mask_id, *vocabulary.ordinary_ids.tolist()}
    assert (ids[np.setdiff1d(np.arange(1000), candidates)] == vocabulary.tokenizer.cls_id).all()


def test_no_more_tokens_are_scored_than_the_row_has_slots(vocabulary: Vocabulary) -> None:
    ids = np.full(100, 500)
    scored, labels = mask(ids, np.arange(100), None, 99, Masking(0.1, 0.1), vocabulary, np.random.default_rng(0))
    assert len(scored) == len(labels) == 10
    assert (labels != IGNORE).all()


def test_units_are_masked_as_a_whole(vocabulary: Vocabulary) -> None:
    original = _random_ids(vocabulary, 10_000)
    ids, starts = original.copy(), np.random.default_rng(2).random(10_000) < 0.4
    starts[0] = True
    scored, labels = mask(ids, np.arange(10_000), starts, 3_000, Masking(), vocabulary, np.random.default_rng(1))
    selected = np.zeros(10_000, bool)
    selected[scored[labels != IGNORE]] = True
    assert 2_980 < selected.sum() <= 3_000
    masked = ids == vocabulary.tokenizer.mask_id
    for unit in np.split(np.arange(10_000), np.flatnonzero(starts)[1:]):
        assert selected[unit].all() or not selected[unit].any()
        assert masked[unit].all() or not masked[unit].any()
    assert abs(masked.sum() / selected.sum() - 0.8) < 0.05


def test_spans_cover_all_and_have_the_mean_length() -> None:
    starts = span_starts(90_000, 3.0, np.random.default_rng(0))
    assert starts[0]
    assert abs(90_000 / starts.sum() - 3.0) < 0.1
    lengths = np.diff(np.flatnonzero(starts))
    assert abs((lengths == 1).mean() - 1 / 3) < 0.01  # geometric
    assert span_starts(0, 3.0, np.random.default_rng(0)).tolist() == []
    assert span_starts(5, 1.0, np.random.default_rng(0)).all()


def test_the_rate_changes_linearly() -> None:
    masking = Masking(0.3, 0.15, batches=100)
    assert [masking.rate_at(batch) for batch in (0, 50, 100, 200)] == pytest.approx([0.3, 0.225, 0.15, 0.15])
    assert masking.slots(1000) == 300
    assert Masking(0.1, 0.4, 10).slots(1000) == 400
