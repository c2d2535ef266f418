"""Late interaction: MaxSim by plain loops, and the scores of sentence-transformers' evaluator."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers.multi_vector_encoder.evaluation import MultiVectorInformationRetrievalEvaluator

from anaume.encoder.load import load_encoder
from anaume.encoder.modules import open_late
from anaume.evals.inputs.pairs import Pair
from anaume.evals.retrieval import late
from anaume.evals.retrieval.collection import from_pairs
from anaume.evals.retrieval.evaluate import measure
from anaume.evals.retrieval.late import evaluate_late
from anaume.evals.retrieval.ranking import Block
from anaume.evals.retrieval.task import prepare
from anaume.evals.task import Request, Subject
from anaume.evals.tasks import RetrievalOptions

from ...support.models import sentences

TEXTS = sentences(80, seed=5)
PAIRS = [Pair(query, positive) for query, positive in zip(TEXTS[:40], TEXTS[40:], strict=True)]


@pytest.fixture(scope="module")
def late_folder(modernbert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)  # of the projection
    folder = tmp_path_factory.mktemp("late") / "tiny-late"
    open_late(str(modernbert_folder)).save_pretrained(str(folder), create_model_card=False)
    return folder


def max_sims(network: Any, queries: list[str], documents: list[str]) -> torch.Tensor:
    """MaxSim as Khattab and Zaharia define it."""
    q, d = network.encode_query(queries), network.encode_document(documents)
    return torch.tensor([[(a @ b.T).amax(1).sum().item() for b in d] for a in q], dtype=torch.float64)


def test_scores_are_those_of_plain_loops_and_of_the_library(late_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, encoder = open_late(str(late_folder)), load_encoder(str(late_folder), masked_lm=False)
    record = evaluate_late(network, encoder, from_pairs(PAIRS))
    similarities = max_sims(network, TEXTS[:40], TEXTS[40:])
    plain = measure(from_pairs(PAIRS), iter([Block(slice(0, 40), lambda rows: similarities[rows].clone())]))
    assert record.metrics == pytest.approx(plain, abs=1e-6)
    evaluator = MultiVectorInformationRetrievalEvaluator(
        queries={str(i): pair.query for i, pair in enumerate(PAIRS)},
        corpus={str(i): pair.positive for i, pair in enumerate(PAIRS)},
        relevant_docs={str(i): {str(i)} for i in range(len(PAIRS))},
        precision_recall_at_k=[1, 10, 100],
        write_csv=False,
    )
    expected = evaluator(network)
    for name, value in record.metrics.items():
        score, k = name.split("_at_")
        assert value == pytest.approx(expected[f"maxsim_{score}@{k}"], abs=1e-6)
    assert 0 < record.metrics["mrr_at_10"] < 1
    monkeypatch.setattr(late, "DOCUMENTS_AT_ONCE", 7)
    in_blocks = evaluate_late(network, encoder, from_pairs(PAIRS))
    assert in_blocks.metrics == pytest.approx(record.metrics, abs=1e-6)
    assert in_blocks.settings == record.settings
    assert record.settings["similarity"] == "maxsim"
    assert record.settings["truncated_documents"] == sum(
        len(encoder.tokenizer(text)["input_ids"]) > 48 for text in TEXTS[40:]
    )


def test_the_task_chooses_maxsim(late_folder: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"query": pair.query, "positive": pair.positive} for pair in PAIRS]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    subject = Subject(str(late_folder), masked_lm=False)
    similarities = []
    for pooling in ("own", "mean"):
        options = RetrievalOptions(pairs=pairs, pooling=pooling)
        (record,) = prepare(Request((str(late_folder),), options, tmp_path)).measure(subject)
        similarities.append(record.settings["similarity"])
    assert similarities == ["maxsim", "cosine"]
