"""mteb on local tasks: through the adapter, and with sentence-transformers as it is."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from scipy.stats import pearsonr, spearmanr
from sentence_transformers import SentenceTransformer
from typing_extensions import override

from anaume.encoder.embed import embed
from anaume.encoder.load import load_encoder, revision_of
from anaume.encoder.modules import open_late
from anaume.errors import UserError
from anaume.evals.inputs.pairs import Pair
from anaume.evals.retrieval import evaluate as retrieval
from anaume.evals.retrieval.collection import from_pairs
from anaume.evals.retrieval.late import evaluate_late

from ..support.models import sentences

mteb = pytest.importorskip("mteb")

from mteb.abstasks import AbsTaskRetrieval, AbsTaskSTS  # noqa: E402
from mteb.abstasks.task_metadata import TaskMetadata  # noqa: E402
from mteb.cache import ResultCache  # noqa: E402

from anaume.encoder.mteb import MtebEncoder, MtebLateEncoder  # noqa: E402

TEXTS = sentences(60, seed=9)
SCORES = [(7 * i) % 20 / 4 for i in range(20)]


def described(name: str, kind: Any, main_score: str) -> TaskMetadata:
    return TaskMetadata(
        name=name,
        dataset={"path": "none/none", "revision": "1"},
        description="made on the spot",
        type=kind,
        category="t2t",
        eval_splits=["test"],
        eval_langs=["jpn-Jpan"],
        main_score=main_score,
    )


class Similarity(AbsTaskSTS):
    metadata = described("LocalSTS", "STS", "cosine_spearman")

    @override
    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        rows = {"sentence1": TEXTS[:20], "sentence2": TEXTS[20:40], "score": SCORES}
        self.dataset, self.data_loaded = {"test": Dataset.from_dict(rows)}, True


class Search(AbsTaskRetrieval):
    metadata = described("LocalRetrieval", "Retrieval", "mrr_at_10")

    @override
    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        ids = [str(i) for i in range(30)]
        self.dataset = {
            "default": {
                "test": {
                    "queries": Dataset.from_dict({"id": ids, "text": TEXTS[:30]}),
                    "corpus": Dataset.from_dict({"id": ids, "text": TEXTS[30:]}),
                    "relevant_docs": {i: {i: 1} for i in ids},
                    "top_ranked": None,
                }
            }
        }
        self.data_loaded = True


def run(model: Any, task: Any, cache: Path | None = None) -> Any:
    """What mteb says of a model on a task, and the names that it gives the model and its revision."""
    result = mteb.evaluate(model, [task], cache=ResultCache(cache) if cache else None, show_progress_bar=False)
    (scores,) = result.task_results[0].scores["test"]
    return scores, result.model_name, result.model_revision


def test_scores_are_those_of_our_embeddings(modernbert_folder: Path) -> None:
    opened = load_encoder(str(modernbert_folder), masked_lm=False)
    for prefix in ("", "京都"):
        left, right = (embed(opened, [prefix + text for text in texts]) for texts in (TEXTS[:20], TEXTS[20:40]))
        cosines = torch.nn.functional.cosine_similarity(left, right)
        scores, name, _ = run(MtebEncoder(str(modernbert_folder), query_prefix=prefix), Similarity())
        assert scores["cosine_spearman"] == pytest.approx(spearmanr(cosines, SCORES)[0])
        assert scores["cosine_pearson"] == pytest.approx(pearsonr(cosines, SCORES)[0], abs=1e-5)
        assert scores["spearman"] == scores["cosine_spearman"]
        assert name == "local/tiny-modernbert"


def test_retrieval_is_ours(modernbert_folder: Path) -> None:
    pairs = [Pair(query, positive) for query, positive in zip(TEXTS[:30], TEXTS[30:], strict=True)]
    opened = load_encoder(str(modernbert_folder), masked_lm=False)
    scores_at_10 = []
    for query, positive in (("", ""), ("京都", "大阪")):
        expected = retrieval.evaluate(opened, from_pairs(pairs), query_prefix=query, positive_prefix=positive).metrics
        adapter = MtebEncoder(str(modernbert_folder), query_prefix=query, positive_prefix=positive)
        scores, *_ = run(adapter, Search())
        assert scores["recall_at_10"] == pytest.approx(expected["recall_at_10"], abs=1e-4)
        assert scores["mrr_at_10"] == pytest.approx(expected["mrr_at_10"], abs=1e-4)
        scores_at_10.append(scores["mrr_at_10"])
    assert 0 < scores_at_10[0] != scores_at_10[1] > 0


def test_late_interaction_is_ours(modernbert_folder: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "late")
    network = open_late(str(modernbert_folder))
    network.save_pretrained(folder, create_model_card=False)
    pairs = [Pair(query, positive) for query, positive in zip(TEXTS[:30], TEXTS[30:], strict=True)]
    expected = evaluate_late(network, load_encoder(folder, masked_lm=False), from_pairs(pairs)).metrics
    scores, name, revision = run(MtebLateEncoder(folder), Search())
    assert (name, revision) == ("local/late", revision_of(folder))
    for metric in ("ndcg_at_10", "recall_at_10", "mrr_at_10"):
        assert scores[metric] == pytest.approx(expected[metric], abs=1e-4)
    with pytest.raises(UserError, match="has a vector for each token"):
        MtebEncoder(folder)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # mteb's own
def test_an_export_unchanged(modernbert_folder: Path) -> None:
    """What the README says of sentence-transformers' way."""
    plain, *_ = run(SentenceTransformer(str(modernbert_folder), device="cpu"), Similarity())
    ours, *_ = run(MtebEncoder(str(modernbert_folder)), Similarity())
    assert plain["cosine_spearman"] == pytest.approx(ours["cosine_spearman"])
    assert plain["cosine_pearson"] == pytest.approx(ours["cosine_pearson"], abs=1e-5)


def test_the_cache_tells_weights_and_prefixes_apart(modernbert_folder: Path, bert_folder: Path, tmp_path: Path) -> None:
    models = [
        MtebEncoder(str(modernbert_folder)),
        MtebEncoder(str(bert_folder)),
        MtebEncoder(str(modernbert_folder), query_prefix="京都"),
    ]
    cached = [run(model, Similarity(), tmp_path / "cache")[0] for model in models]
    fresh = [run(model, Similarity())[0] for model in models]
    assert [row["cosine_pearson"] for row in cached] == [row["cosine_pearson"] for row in fresh]
    assert len({row["cosine_pearson"] for row in fresh}) == 3
    revisions = {run(model, Similarity())[2] for model in models}
    assert len(revisions) == 2


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        MtebEncoder(str(tmp_path / "absent"))
