"""The notebooks and scripts run from beginning to end, and show what they promise."""

import ast
import json
from pathlib import Path
from random import Random
from runpy import run_path
from typing import Any

import pytest

from anaume.corpus.readers import documents
from anaume.corpus.source import Source

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def _cells(notebook: Path, kind: str) -> list[str]:
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


def _run(notebook: Path) -> list[Any]:
    """Execute the cells one after the other, and return the value of each cell's last expression."""
    names: dict[str, Any] = {"__name__": "__main__"}
    values = []
    for cell in _cells(notebook, "code"):
        tree = ast.parse(cell)
        last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None  # type: ignore[attr-defined]
        exec(compile(tree, notebook.name, "exec"), names)
        values.append(eval(compile(last, notebook.name, "eval"), names) if last else None)
    return values


def test_a_notebook_is_kept_without_outputs() -> None:
    assert NOTEBOOKS
    for notebook in NOTEBOOKS:
        content = json.loads(notebook.read_text(encoding="utf-8"))
        cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
        assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])


@pytest.mark.slow
def test_the_first_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (notebook,) = (path for path in NOTEBOOKS if path.name == "first_encoder.ipynb")
    values = _run(notebook)
    losses = next(value for value in values if isinstance(value, dict) and 0 in value)
    assert losses[500] < losses[0] - 3
    scores = next(value for value in values if isinstance(value, dict) and "accuracy" in value)
    assert scores["accuracy"] > 0.8
    labels = next(value for value in values if isinstance(value, list))
    assert [label["label"] for label in labels] == ["prefecture", "month"]
    assert (tmp_path / "first-encoder" / "report" / "index.html").is_file()


@pytest.mark.slow
def test_a_cleaned_corpus_has_each_text_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of equal and nearly equal texts stays; what is short, foreign or repeats its lines is left out."""
    random = Random(0)
    texts = ["".join(random.choices("あいうえおかきくけこさしすせそ港町船空山川東西南北", k=300)) for _ in range(8)]
    rows = {f"text-{number}": text for number, text in enumerate(texts)}
    rows |= {"equal": texts[0], "spaced": f"{texts[1][:100]}\n{texts[1][100:]}", "near": texts[2][:-1] + "鳥"}
    rows |= {"short": "短い。", "foreign": "A text about ports and ships. " * 10, "menu": "ホームへもどる\n" * 30}
    raw, clean = tmp_path / "raw", tmp_path / "clean"
    raw.mkdir()
    for number in range(2):
        lines = [json.dumps({"id": name, "text": text}) for name, text in list(rows.items())[number::2]]
        (raw / f"{number}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    example = run_path(str(EXAMPLES / "clean_corpus.py"))
    monkeypatch.setattr("sys.argv", ["clean_corpus.py", str(raw), str(clean)])
    example["main"]()
    kept = [document.text for document in documents(Source(path=str(clean / "text" / "*.jsonl.gz")))]
    assert len(kept) == len(texts)
    groups = [{texts[0]}, {texts[1], rows["spaced"]}, {texts[2], rows["near"]}, *({text} for text in texts[3:])]
    assert [len(group & set(kept)) for group in groups] == [1] * len(groups)
