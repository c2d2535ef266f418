"""The notebooks run from their first cell to their last, and show what they promise."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))


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
