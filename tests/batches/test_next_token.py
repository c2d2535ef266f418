"""Targets of a causal stage: the right token at the right position, never a special one."""

from dataclasses import replace

import numpy as np
import pytest

from anaume.batches.batch import IGNORE
from anaume.batches.loader import batches
from anaume.batches.next_token import NextToken, next_tokens
from anaume.batches.plan import BatchPlan
from anaume.tokenizer.load import Tokenizer
from anaume.tokens import store
from anaume.tokens.store import Store


def test_each_token_is_the_label_of_the_position_before_it() -> None:
    ids = np.array([5, 70, 71, 6, 5, 72, 6, 4])  # two pieces and padding
    scored, labels = next_tokens(ids, np.array([1, 2, 5]), NextToken(), np.random.default_rng(0))
    assert scored.tolist() == [0, 1, 4, 0, 0, 0, 0, 0]
    assert labels.tolist() == [70, 71, 72] + [IGNORE] * 5
    assert ids.tolist() == [5, 70, 71, 6, 5, 72, 6, 4]


def test_a_share_of_the_tokens_is_drawn_at_random() -> None:
    ids = np.arange(1_000)
    draws = [next_tokens(ids, np.arange(1, 999), NextToken(0.3), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    for scored, labels in draws:
        assert len(scored) == 300
        assert (labels != IGNORE).sum() == 299  # of 998 candidates
        assert (scored[:299] + 1 == labels[:299]).all()
    assert (draws[0][0] == draws[1][0]).all()
    assert (draws[0][0] != draws[2][0]).any()


@pytest.fixture
def stores(tmp_path_factory: pytest.TempPathFactory, trained: Tokenizer) -> list[Store]:
    random = np.random.default_rng(0)
    documents = [random.choice(np.arange(300, 400), size).astype(np.uint32) for size in (3, 50, 20, 9, 31, 14)]
    folder = tmp_path_factory.mktemp("store") / "0"
    return [store.write(folder, documents, vocab_size=trained.vocab_size, vocabulary_hash=trained.vocabulary_hash)]


def test_rows_are_those_of_a_masked_stage_without_masks(stores: list[Store], trained: Tokenizer) -> None:
    masked = BatchPlan(stores, (1.0,), trained, seed=3, length=32, row_tokens=96)
    causal = replace(masked, next_token=NextToken())
    (hidden, after), (shown, after_causal) = next(batches(masked)), next(batches(causal))
    assert after == after_causal
    assert shown.causal
    assert not hidden.causal
    used = hidden.labels != IGNORE
    hidden.input_ids[hidden.scored[used]] = hidden.labels[used]
    assert (shown.input_ids == hidden.input_ids).all()
    ordinary = np.flatnonzero(shown.input_ids >= 300)
    assert (shown.scored[: shown.targets] == ordinary - 1).all()
    assert (shown.labels[: shown.targets] == shown.input_ids[ordinary]).all()
