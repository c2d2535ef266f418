"""The tabs of fine-tuned models, and what a run directory brings."""

import math
import shutil
from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.export.checkpoint import export
from anaume.finetune.examples import Entity, Head
from anaume.play import draw, labels
from anaume.play.models import open_models
from anaume.play.similarity import search
from anaume.run import Run

from .conftest import MakeTuned


def test_entities_have_exact_characters(tagger: Path, tmp_path: Path) -> None:
    served = open_models([str(tagger)], tmp_path)
    text = "東京は古都である。"
    entities = labels.entities(served.of_kind("tokens"), text)
    assert entities == {
        "tagger": tuple(Entity(start, end, "地名") for start, end in [(0, 2), (2, 3), (3, 5), (5, 8), (8, 9)])
    }
    page = draw.entities(entities, text)
    assert page.count("<mark") == 5
    assert ">東京<small>地名</small></mark>" in page
    assert served.embedders == ()


def test_classes_are_sorted_by_probability(classifier: Path, tmp_path: Path) -> None:
    tuned = open_models([str(classifier)], tmp_path).of_kind("classes")
    for second in ("", "大阪は港町である。"):
        [rows] = labels.classes(tuned, "東京は古都である。", second).values()
        assert list(rows) == ["良い", "悪い", "普通"]
        assert list(rows.values()) == pytest.approx([0.7, 0.2, 0.1])
    assert "70.0%" in draw.classes({"classifier": rows})
    with pytest.raises(UserError, match="text: empty"):
        labels.classes(tuned, " ")


def test_labels_have_probabilities_of_their_own(make_tuned: MakeTuned, tmp_path: Path) -> None:
    logits = [math.log(0.9 / 0.1), math.log(0.6 / 0.4)]
    folder = make_tuned("topics", Head("classes", "labels", 2, ("経済", "政治")), logits)
    [rows] = labels.classes(open_models([str(folder)], tmp_path).of_kind("labels"), "東京").values()
    assert rows == pytest.approx({"経済": 0.9, "政治": 0.6})


def test_a_regression_shows_its_value(make_tuned: MakeTuned, tmp_path: Path) -> None:
    folder = make_tuned("regression", Head("regression", "similarity"), [3.25])
    scores = labels.classes(open_models([str(folder)], tmp_path).of_kind("similarity"), "東京", "京都")
    assert scores == {"regression": {"value": pytest.approx(3.25)}}
    assert "3.250" in draw.classes(scores)


def test_a_tagger_of_other_labels_is_refused(make_tuned: MakeTuned, tmp_path: Path) -> None:
    folder = make_tuned("other", Head("entities", "tokens", 2, ("NOUN", "VERB")), [0.0, 0.0])
    with pytest.raises(UserError, match="NOUN, VERB: not those of entities"):
        open_models([str(folder)], tmp_path)


def test_a_late_model_ranks_by_max_sim(late_folder: Path, tmp_path: Path) -> None:
    served = open_models([str(late_folder)], tmp_path)
    texts = ["東京は首都である。", "京都は古都である。"]
    rankings = search(served.embedders, "京都", "\n".join(texts), late=served.late)
    assert list(rankings) == ["tiny-late (MaxSim)", "BM25"]
    network = served.late[0].network
    [query], documents = network.encode_query(["京都"]), network.encode_document(texts)
    expected = {
        text: float((query @ document.T).amax(1).sum()) for text, document in zip(texts, documents, strict=True)
    }
    hits = rankings["tiny-late (MaxSim)"]
    assert {hit.passage: hit.score for hit in hits} == pytest.approx(expected, abs=1e-6)
    assert hits[0].score > hits[1].score


def test_a_run_brings_its_last_export_or_its_last_checkpoint(straight: Run, tmp_path: Path) -> None:
    run, scratch = Run(tmp_path / "run"), tmp_path / "scratch"
    scratch.mkdir()
    shutil.copytree(straight.folder, run.folder, ignore=shutil.ignore_patterns("export"))
    first, *_, last = run.checkpoints()
    served = open_models([str(run.folder)], scratch)
    assert [embedder.encoder.name for embedder in served.embedders] == [f"tiny-{last.model}"]
    assert served.embedders[0].fills
    assert [run.folder for run in served.runs] == [run.folder]
    assert not run.export(last).exists()

    export(run, first, run.export(first))
    assert list(open_models([str(run.folder)], scratch).tokenizers) == [f"tiny-{first.model}"]

    shutil.rmtree(run.checkpoints_folder)
    served = open_models([str(run.folder)], scratch)
    assert (served.embedders, len(served.runs)) == ((), 1)
