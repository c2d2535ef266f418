"""The two protocols on made-up scores: what is run, what is selected, what is reported."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest

from anaume.errors import UserError
from anaume.evals.jglue.grid import EPOCHS, LEARNING_RATES, Grid
from anaume.evals.jglue.protocols import TrialGroup, run_held_out, run_paper
from anaume.evals.jglue.trials import Trial
from anaume.finetune.train import Settings

GRID = Grid(learning_rates=(4e-3, 1e-3), epochs=(3, 1), seed=5)
ORDER = [(1, 1e-3), (1, 4e-3), (3, 1e-3), (3, 4e-3)]
EXAMPLES = {"train": 20, "held_out": 3, "validation": 9}


class Runs:
    """Gives each trial a score on its split and remembers the trials."""

    def __init__(self, held_out: Sequence[float], validation: Sequence[float]) -> None:
        self.scores = {"held_out": held_out, "validation": validation}
        self.trials: list[Trial] = []

    def __call__(self, trials: Sequence[Trial]) -> list[dict[str, Any]]:
        self.trials += trials
        split = "validation" if trials[0].split_seed is None else "held_out"
        scores = self.scores[split][: len(trials)]
        return [
            {"metrics": {split: {"f1": f1}, "out_of_domain": {"f1": f1 / 2}}, "examples": EXAMPLES} for f1 in scores
        ]


def test_ties_go_to_fewer_epochs_and_lower_rates() -> None:
    settings = GRID.settings()
    assert [(s.epochs, s.learning_rate) for s in settings] == ORDER
    run = Runs([0.5, 0.7, 0.7, 0.6], [0.1, 0.4])
    outcome = run_held_out(settings, 2, "f1", run)
    assert outcome.settings == {
        "held_out": 3,
        "selected": asdict(Settings(4e-3, 1, 5)),
    }
    assert run.trials[:4] == [Trial(s, split_seed=5) for s in settings]
    assert run.trials[4:] == [Trial(Settings(4e-3, 1, seed)) for seed in (5, 6)]


def test_held_out_reports_mean_and_deviation_over_the_seeds() -> None:
    values = [0.1, 0.4, 0.5]
    outcome = run_held_out(GRID.settings(), 3, "f1", Runs([0, 0, 0, 1], values))
    assert outcome.metrics == {
        "f1": pytest.approx(statistics.mean(values)),
        "f1_std": pytest.approx(statistics.stdev(values)),
        "out_of_domain_f1": pytest.approx(statistics.mean(values) / 2),
        "out_of_domain_f1_std": pytest.approx(statistics.stdev(values) / 2),
    }
    selection, repeated = outcome.groups
    assert selection.rows[1] == {
        "learning_rate": 4e-3,
        "epochs": 1,
        "seed": 5,
        "warmup": 0.1,
        "clip": 1.0,
        "protocol": "held-out",
        "split": "held_out",
        "f1": 0,
        "out_of_domain_f1": 0,
    }
    assert [(row["split"], row["seed"], row["f1"]) for row in repeated.rows] == [
        ("validation", seed, value) for seed, value in zip((5, 6, 7), values, strict=True)
    ]


def test_settings_without_an_alternative_hold_nothing_out() -> None:
    run = Runs([], [0.3])
    outcome = run_held_out([Settings(1e-3, 1, 0)], 1, "f1", run)
    assert run.trials == [Trial(Settings(1e-3, 1, 0))]
    assert outcome.settings == {"selected": asdict(Settings(1e-3, 1, 0))}
    assert outcome.metrics == {"f1": 0.3, "out_of_domain_f1": 0.15}


def test_paper_reports_the_best_on_validation() -> None:
    run = Runs([], [0.2, 0.6, 0.8, 0.8])
    outcome = run_paper(GRID.settings(), "f1", run)
    assert run.trials == [Trial(replace(s, warmup=0.0, clip=0.0)) for s in GRID.settings()]
    assert outcome.metrics == {"best_cell_f1": 0.8, "best_cell_out_of_domain_f1": 0.4}
    best_cell = {"learning_rate": 1e-3, "epochs": 3, "seed": 5, "warmup": 0.0, "clip": 0.0}
    assert outcome.settings == {"best_cell": best_cell}
    assert [row["f1"] for group in outcome.groups for row in group.rows] == [0.2, 0.6, 0.8, 0.8]


def test_the_papers_grid() -> None:
    assert Grid().settings()[-1] == Settings(1e-4, 10, 0)
    assert len(Grid().settings()) == 36 == len(LEARNING_RATES) * len(EPOCHS)


def test_a_training_that_diverged_never_wins() -> None:
    """It scores 0, which is more than a negative correlation."""
    trials = [Trial(s) for s in GRID.settings()]
    contents = [
        {"metrics": {"validation": {"pearson": score}}, "finite": finite}
        for score, finite in ((0.0, False), (-0.3, True), (-0.1, True), (0.0, False))
    ]
    assert TrialGroup("paper", "validation", trials, contents).best("pearson") == 2
    diverged = [content | {"finite": False} for content in contents]
    with pytest.raises(UserError, match="every training diverged; expected lower ones"):
        TrialGroup("paper", "validation", trials, diverged).best("pearson")
