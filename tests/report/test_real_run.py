"""The report of a run that was trained and evaluated here: the figures in its tables are those of the records."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from anaume.corpus import hakoniwa
from anaume.evals.evaluate import evaluate_run
from anaume.report.page import write_report
from anaume.run import Run

LAST = "second-step-0000004"


@pytest.fixture(scope="module")
def evaluated(straight: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run with its first and its last checkpoint, asked a few questions."""
    folder = tmp_path_factory.mktemp("real")
    shutil.copytree(straight.folder, folder / "run")
    run = Run(folder / "run")
    for checkpoint in run.checkpoints()[1:-1]:
        shutil.rmtree(run.checkpoint(checkpoint))
    hakoniwa.write_tasks(folder / "tasks", 0)
    for name in ("cloze.jsonl", "pairs.jsonl"):
        lines = (folder / "tasks" / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:12]), encoding="utf-8")
    inputs = {"pairs": folder / "pairs.jsonl", "cloze": folder / "cloze.jsonl"}
    evaluate_run(run.folder, {**inputs, "documents": 3, "positions": 3, "random_pairs": 20})
    return run.folder


@pytest.fixture(scope="module")
def tables(evaluated: Path) -> Path:
    return write_report([evaluated], evaluated / "report").parent / "tables"


def record(run: Path, model: str, task: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "evals" / model / f"{task}.json").read_text(encoding="utf-8"))
    return content


def row(table: Path, label: str) -> dict[str, str]:
    """Title → text of a row of a Markdown table, bold or not."""
    lines = table.read_text(encoding="utf-8").replace("**", "").replace("\\", "").splitlines()
    titles, _, *rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    labelled = [dict(zip(titles, cells, strict=True)) for cells in rows if cells[0] == label]
    assert len(labelled) == 1, f"{table.name} has {len(labelled)} rows of {label}"
    return labelled[0]


@pytest.mark.parametrize(
    ("table", "task", "columns"),
    [
        ("validation", "validation", {"Loss": "loss", "Accuracy": "accuracy"}),
        ("loss-by-length", "validation", {"[0, 1024]": "loss [0, 1024]"}),
        ("fill-mask", "fill-mask", {"Acc@1": "accuracy_at_1", "MRR": "mrr", "Naive MRR": "naive_mrr"}),
        ("retrieval", "retrieval", {"Recall@10": "recall_at_10", "MRR@10": "mrr_at_10"}),
        ("pseudo-perplexity", "pseudo-perplexity", {"all": "pseudo_perplexity"}),
        ("alignment-uniformity", "geometry", {"Alignment": "alignment", "Uniformity": "uniformity"}),
        ("similarities", "geometry", {"Overlap": "overlap", "AUC": "auc"}),
    ],
)
def test_each_checkpoints_figures_are_its_records(
    evaluated: Path, tables: Path, table: str, task: str, columns: dict[str, str]
) -> None:
    for label, model in (("first, step 0", "first-step-0000000"), ("second, step 4", LAST)):
        content = record(evaluated, model, task)
        cells = row(tables / f"{table}.md", label)
        for title, metric in columns.items():
            written = float(cells[title].replace(",", ""))
            assert written == pytest.approx(content["metrics"][metric], rel=5e-4, abs=5e-4), title
        assert cells.get("n", f"{content['n']:,}") == f"{content['n']:,}"
    assert "Not measured alike" not in (tables / f"{table}.md").read_text(encoding="utf-8")


def test_the_lexical_baselines_stand_beside_them(evaluated: Path, tables: Path) -> None:
    for label, model in (("Edit distance", "edit-distance"), ("Jaccard", "jaccard"), ("BM25", "bm25")):
        content = record(evaluated, model, "retrieval")
        cells = row(tables / "retrieval.md", f"{label} ({content['settings']['unit']})")
        assert cells["Recall@10"] == f"{content['metrics']['recall_at_10']:.3f}"
        assert cells["n"] == "12"


def test_the_dynamics_have_all_tasks_of_a_checkpoint(evaluated: Path, tables: Path) -> None:
    cells = row(tables / "dynamics.md", "second")
    metrics = {task: record(evaluated, LAST, task)["metrics"] for task in ("validation", "fill-mask", "geometry")}
    tokens = record(evaluated, LAST, "validation")["checkpoint"]["tokens"]
    assert (cells["Step"], cells["Tokens"]) == ("4", f"{tokens:,}")
    assert cells["Loss"] == f"{metrics['validation']['loss']:.3f}"
    assert cells["Cloze acc@5"] == f"{metrics['fill-mask']['accuracy_at_5']:.3f}"
    assert cells["Uniformity"] == f"{metrics['geometry']['uniformity']:.3f}"


def test_the_guesses_are_those_of_the_last_checkpoint(evaluated: Path, tables: Path) -> None:
    question = record(evaluated, LAST, "fill-mask")["details"][0]
    cells = row(tables / "fill-mask-top5.md", question["text"])
    assert cells["Answer"] == ", ".join(question["answers"])
    best = question["predictions"][0]
    assert cells["Guess 1"].endswith(f" ({best['probability']:.3f})")
    assert best["text"].strip() in cells["Guess 1"]
