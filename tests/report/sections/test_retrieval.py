from pathlib import Path

import numpy as np

from anaume.evals.record import Record, save_record
from anaume.report.inputs import read_inputs
from anaume.report.sections import retrieval

DATA = {"data": "p.jsonl", "sha256": "0123456789", "corpus": 400}


def test_the_lexical_baselines_are_compared_like_models(tmp_path: Path) -> None:
    for name, recall, settings in (
        ("a", 0.25, {"revision": "r", "precision": "float32"}),
        ("bm25", 0.5, {"unit": "bigrams"}),
        ("jaccard", 0.75, {"unit": "bigrams", "sha256": "fedcba9876"}),
    ):
        save_record(Record(name, "retrieval", {"recall_at_10": recall}, 1, DATA | settings, 0), tmp_path)
    table = retrieval.scores(read_inputs([tmp_path]))
    assert table is not None
    assert "p.jsonl (SHA-256 fedcba98) for Jaccard (bigrams);" in table.caution
    (tmp_path / "jaccard" / "retrieval.json").unlink()
    table = retrieval.scores(read_inputs([tmp_path]))
    assert table is not None
    assert [row[1].strong for row in table.rows] == [False, True]


def test_recall_over_the_checkpoints_stands_beside_the_baselines(whole_run: Path) -> None:
    (panel,) = retrieval.over_steps(read_inputs([whole_run])[0])
    recall = panel.lines[0]
    np.testing.assert_array_equal(recall.x, [0, 9, 40, 60])
    np.testing.assert_allclose(recall.y, [0.225, 0.35, 0.6, 0.85])
    assert panel.levels == (("Edit distance 0.289", 0.289), ("Jaccard 0.031", 0.031))
