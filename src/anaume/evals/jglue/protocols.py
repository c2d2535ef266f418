"""The two protocols: the settings of a grid → the trials to run, the selected ones, and the metrics to report.

`held-out` trains each settings of the grid on nine tenths of the training split and scores it on the last tenth. The
best settings are trained on the whole training split with several seeds; the mean over the seeds is reported.
`paper` trains each settings on the whole training split and reports the best score on validation (arXiv 2504.15544,
section 4.1): the best of 36 numbers, selected on the data on which it is reported. As in the paper's script, these
trainings have no warm-up and no clipping.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from anaume.errors import UserError
from anaume.evals.jglue.trials import Trial
from anaume.finetune.train import Settings

Protocol = Literal["held-out", "paper", "both"]
# Runs the trials that have no file yet, and returns the content of every trial's file, in the order of the trials.
RunTrials = Callable[[Sequence[Trial]], list[dict[str, Any]]]


@dataclass(frozen=True)
class TrialGroup:
    """Trials on the same training data, and the contents of their files.

    `split` is the split that gives the metrics their plain names; the metrics of other splits begin with the split's
    name, as in `test_accuracy`.
    """

    protocol: Protocol
    split: str
    trials: Sequence[Trial]
    contents: list[dict[str, Any]]

    @property
    def scores(self) -> list[dict[str, float]]:
        """Metrics of each trial over all its splits."""
        return [
            {
                name if split == self.split else f"{split}_{name}": value
                for split, metrics in content["metrics"].items()
                for name, value in metrics.items()
            }
            for content in self.contents
        ]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Each trial as a row of the record's details."""
        return [
            {**asdict(trial.settings), "protocol": self.protocol, "split": self.split, **scores}
            for trial, scores in zip(self.trials, self.scores, strict=True)
        ]

    def best(self, metric: str) -> int:
        """Return the index of the trial with the highest score; the first of equal ones. One that diverged never wins.

        Raises:
            UserError: all trials diverged.
        """
        # Files of older versions do not tell whether the logits were finite.
        finite = [content.get("finite", True) for content in self.contents]
        if not any(finite):
            raise UserError(
                f"--learning-rates: {', '.join(f'{trial.settings.learning_rate:g}' for trial in self.trials)}: every"
                " training diverged; expected lower ones"
            )
        scores = [scores[metric] if known else -np.inf for scores, known in zip(self.scores, finite, strict=True)]
        return int(np.argmax(scores))


@dataclass(frozen=True)
class Outcome:
    """What a protocol gives to the record: metrics, settings, and groups of trials for its details."""

    metrics: dict[str, float]
    settings: dict[str, Any]
    groups: list[TrialGroup]


def selection_trials(settings: Sequence[Settings]) -> list[Trial]:
    """Return the trials that select the settings, each with a held-out tenth; none if there is only one choice."""
    return [Trial(s, split_seed=s.seed) for s in settings] if len(settings) > 1 else []


def repeated_trials(selected: Settings, seeds: int) -> list[Trial]:
    """Return trials of the selected settings on the whole training split, with consecutive seeds."""
    return [Trial(replace(selected, seed=selected.seed + i)) for i in range(seeds)]


def paper_trials(settings: Sequence[Settings]) -> list[Trial]:
    """Return the trials of the `paper` protocol: on the whole training split, without warm-up and clipping."""
    return [Trial(replace(s, warmup=0.0, clip=0.0)) for s in settings]


def select(settings: Sequence[Settings], metric: str, run: RunTrials) -> tuple[Settings, list[TrialGroup]]:
    """Return the settings with the best `metric` on the held-out tenth, and the trials behind the choice."""
    if not (trials := selection_trials(settings)):
        return settings[0], []
    group = TrialGroup("held-out", "held_out", trials, run(trials))
    return settings[group.best(metric)], [group]


def run_held_out(settings: Sequence[Settings], seeds: int, metric: str, run: RunTrials) -> Outcome:
    """Run the `held-out` protocol: select settings, train them with several seeds, average the metrics."""
    selected, groups = select(settings, metric, run)
    trials = repeated_trials(selected, seeds)
    repeated = TrialGroup("held-out", "validation", trials, run(trials))
    notes = {"held_out": groups[0].contents[0]["examples"]["held_out"]} if groups else {}
    return Outcome(_mean_and_deviation(repeated.scores), {**notes, "selected": asdict(selected)}, [*groups, repeated])


def run_paper(settings: Sequence[Settings], metric: str, run: RunTrials) -> Outcome:
    """Run the `paper` protocol: the metrics of the settings with the best `metric` on validation."""
    trials = paper_trials(settings)
    group = TrialGroup("paper", "validation", trials, run(trials))
    best = group.best(metric)
    metrics = {f"best_cell_{name}": value for name, value in group.scores[best].items()}
    return Outcome(metrics, {"best_cell": asdict(trials[best].settings)}, [group])


def _mean_and_deviation(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each metric and, for two or more trials, `METRIC_std`, the sample standard deviation."""
    summary = {}
    for name in scores[0]:
        values = [trial_scores[name] for trial_scores in scores]
        summary[name] = float(np.mean(values))
        if len(values) > 1:
            summary[f"{name}_std"] = float(np.std(values, ddof=1))
    return summary
