import numpy as np

from anaume.batches.batch import IGNORE
from anaume.batches.masking import MaskingRule, mask

RULE = MaskingRule(0.3, mask_id=3, ordinary_ids=np.arange(8, 1000))


def test_shares_are_the_papers() -> None:
    original = np.random.default_rng(0).integers(8, 1000, 100_000)
    ids = original.copy()
    scored, labels = mask(ids, np.arange(100_000), 30_000, RULE, np.random.default_rng(1))
    assert (labels != IGNORE).sum() == 30_000
    assert len(set(scored.tolist())) == 30_000
    assert (labels == original[scored]).all()
    now = ids[scored]
    assert abs((now == 3).mean() - 0.8) < 0.01
    assert abs((now == labels).mean() - 0.1) < 0.01
    untouched = np.setdiff1d(np.arange(100_000), scored)
    assert (ids[untouched] == original[untouched]).all()


def test_candidates_only_and_ordinary_replacements() -> None:
    ids = np.full(1000, 5)
    candidates = np.arange(100, 600)
    ids[candidates] = 500
    scored, labels = mask(ids, candidates, 300, RULE, np.random.default_rng(0))
    used = labels != IGNORE
    assert used.sum() == 150
    assert set(scored[used]) <= set(candidates.tolist())
    assert set(ids[candidates]) <= {3, *range(8, 1000)}
    assert (ids[np.setdiff1d(np.arange(1000), candidates)] == 5).all()


def test_slots_bound_what_is_scored() -> None:
    ids = np.full(100, 500)
    scored, labels = mask(ids, np.arange(100), 10, RULE, np.random.default_rng(0))
    assert len(scored) == len(labels) == 10
    assert (labels != IGNORE).all()
