"""Seconds → amounts of the evaluations, by a forecast."""

from pathlib import Path
from typing import Any

import pytest

from anaume.evals import amounts as module
from anaume.evals.amounts import Amounts, amounts_for, choose_amounts


def _forecast(task: str, amounts: Amounts) -> float:
    """A second for a thousand tokens and for a hundred positions, 10 s for a pass over JGLUE, 5 s for other tasks."""
    match task:
        case "validation":
            return float(amounts["tokens"]) / 1000
        case "pseudo-perplexity":
            return float(amounts["documents"] * amounts["positions"]) / 100
        case "jglue":
            return 10.0
        case "retrieval" | "geometry":
            return 5.0
    return 0.0


def test_amounts_fill_the_time_and_no_more() -> None:
    amounts, seconds = choose_amounts(_forecast, 200)
    # 190 s are left: at most 19 for validation, 57 for pseudo-perplexity, and what remains, 123.6 s, for JGLUE.
    assert amounts == {
        **{"tokens": 1 << 14, "documents": 100, "positions": 50},
        **{"learning_rates": "1e-4,3e-4", "epochs": "3", "seeds": 2},
    }
    assert seconds["jglue"] == 120
    assert sum(seconds.values()) < 200


def test_few_rungs_are_forecast() -> None:
    """A forecast opens a checkpoint and takes seconds, so the rungs are halved instead of climbed."""
    asked: list[str] = []

    def forecast(task: str, amounts: Amounts) -> float:
        asked.append(task)
        return _forecast(task, amounts)

    choose_amounts(forecast, 1e6)
    assert asked.count("validation") <= 3
    assert asked.count("pseudo-perplexity") <= 4


def test_jglue_is_left_out_where_its_smallest_grid_takes_too_long() -> None:
    amounts, seconds = choose_amounts(_forecast, 15)
    assert amounts["data"] is None
    assert "jglue" not in seconds


def test_entities_share_the_rest_with_jglue() -> None:
    def forecast(task: str, amounts: Amounts) -> float:
        return 20.0 if task == "ner" else _forecast(task, amounts)

    amounts, seconds = choose_amounts(forecast, 200)
    assert amounts["seeds"] == 1  # three passes of 30 s fit into 123.6 s, six do not
    assert (seconds["jglue"], seconds["ner"]) == (30, 60)


def test_amounts_are_chosen_once_for_the_same_hours_and_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def forecast_run(_folder: Path, choices: dict[str, Any], tasks: list[str]) -> dict[str, float]:
        asked.extend(tasks)
        return {task: _forecast(task, choices) for task in tasks}

    monkeypatch.setattr(module, "forecast_run", forecast_run)
    choices = {"pairs": Path("pairs.jsonl"), "tokens": 7, "cloze": None}
    first = amounts_for(tmp_path, choices, 0.02)
    assert first["pairs"] == Path("pairs.jsonl")
    assert first["tokens"] == 1 << 12  # 7 is the user's number, which the hours replace
    assert "cloze" not in first
    asked.clear()
    assert amounts_for(tmp_path, choices, 0.02) == first
    assert not asked
    assert amounts_for(tmp_path, choices, 1.0)["tokens"] > first["tokens"]
    assert asked
