"""Scores of the items that the training text lacks: which items these are, and the metrics over them alone."""

import json
from pathlib import Path

import numpy as np
import pytest

from anaume.corpus.readers import parse_source
from anaume.errors import UserError
from anaume.evals.evaluate import evaluate_models
from anaume.evals.inputs.pairs import Pair
from anaume.evals.overlap.clean import clean_rows
from anaume.evals.overlap.scan import find_overlap
from anaume.evals.record import load_record
from anaume.evals.retrieval.collection import from_pairs
from anaume.evals.retrieval.evaluate import evaluate_lexical
from anaume.evals.tasks import RetrievalOptions
from anaume.files import write_json

PAIRS = [
    ("東京の天気は晴れのち曇りでしょう", "東京の空模様"),
    ("港に船が着いたという知らせ", "船の到着"),
    ("山の上の古い神社の石段", "参道"),
]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Three pairs, with an empty line between: items are numbered by their lines."""
    lines = [json.dumps({"query": query, "positive": positive}) for query, positive in PAIRS]
    path = tmp_path / "pairs.jsonl"
    path.write_text(f"{lines[0]}\n\n{lines[1]}\n{lines[2]}\n", encoding="utf-8")
    return path


def overlap_of(pairs: Path, *texts: str) -> Path:
    """The result of `anaume overlap` for a corpus of these texts."""
    corpus, out = pairs.with_name("corpus.jsonl"), pairs.with_name("overlap.json")
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    write_json(out, find_overlap([parse_source(str(corpus))], [pairs], n=10))
    return out


def test_items_are_found_by_their_lines(pairs: Path) -> None:
    overlap = overlap_of(pairs, f"きょうは{PAIRS[1][0]}があった。")
    assert clean_rows(overlap, pairs).tolist() == [True, False, True]


def test_another_content_of_the_data_is_refused(pairs: Path) -> None:
    overlap = overlap_of(pairs, "別の文章です。")
    pairs.write_text(json.dumps({"query": "問い", "positive": "答え"}) + "\n", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"--overlap .*overlap.json: made without .*pairs.jsonl; expected anaume overlap"
    ):
        clean_rows(overlap, pairs)


def test_data_without_a_clean_item_are_refused(pairs: Path) -> None:
    overlap = overlap_of(pairs, *(query for query, _ in PAIRS))
    with pytest.raises(UserError, match="contains all items of"):
        clean_rows(overlap, pairs)


def test_clean_queries_have_scores_of_their_own() -> None:
    """The second of three queries overlaps: the clean scores are those of the other two, over all documents."""
    collection = from_pairs([Pair("あいう", "あいう"), Pair("かきく", "さしす"), Pair("たちつ", "たちて")])
    ranks = evaluate_lexical("edit-distance", collection).metrics
    assert ranks["recall_at_1"] == pytest.approx(2 / 3)
    object.__setattr__(collection, "clean", np.array([True, False, True]))
    metrics = evaluate_lexical("edit-distance", collection).metrics
    assert metrics["clean_recall_at_1"] == 1
    assert {name: value for name, value in metrics.items() if not name.startswith("clean_")} == ranks


def test_the_record_names_what_was_left_out(pairs: Path, modernbert_folder: Path, tmp_path: Path) -> None:
    overlap = overlap_of(pairs, PAIRS[0][0])
    options = RetrievalOptions(pairs=pairs, overlap=overlap)
    for path in evaluate_models("retrieval", [str(modernbert_folder)], options, tmp_path / "out"):
        record = load_record(path)
        assert record.settings["clean"] == 2
        assert len(record.settings["overlap_sha256"]) == 64
        assert 0 <= record.metrics["clean_recall_at_10"] <= 1
    with pytest.raises(UserError, match="given with --collection; expected --pairs"):
        list(
            evaluate_models(
                "retrieval", [str(modernbert_folder)], RetrievalOptions(collection=tmp_path, overlap=overlap), tmp_path
            )
        )
