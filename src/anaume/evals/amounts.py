"""Hours → how much `eval all` measures: tokens, documents and positions, and the grid of fine-tuning.

The rule: amounts are chosen once for the same inputs and hours, by the forecast of `eval all`, so that an interrupted
evaluation goes on with them.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from anaume.evals.evaluate import forecast_run
from anaume.files import write_json
from anaume.files.objects import read_object
from anaume.formats import duration
from anaume.progress import progress_shown, say
from anaume.run import Run

# The file beside the records that holds what was chosen: hours, inputs, amounts, and the forecast of each task.
FILE = ".amounts.json"
FORM = {"hours": int | float, "inputs": dict, "amounts": dict, "seconds": dict}

Amounts = dict[str, Any]
# Amounts of each task, from the least to the most, the most being the paper's where it states them.
VALIDATION: tuple[Amounts, ...] = tuple({"tokens": 1 << power} for power in (12, 13, 14, 15, 16, 17, 18))
PSEUDO_PERPLEXITY: tuple[Amounts, ...] = tuple(
    {"documents": documents, "positions": positions}
    for documents, positions in ((5, 5), (10, 10), (20, 20), (50, 20), (50, 50), (100, 50), (200, 100), (500, 100))
)
# Grids, and how many passes over the training splits each of them takes. High rates suit small networks.
GRIDS: tuple[tuple[Amounts, int], ...] = (
    ({"learning_rates": "3e-4", "epochs": "1", "seeds": 1}, 1),
    ({"learning_rates": "3e-4", "epochs": "3", "seeds": 1}, 3),
    ({"learning_rates": "3e-4", "epochs": "3", "seeds": 2}, 6),
    ({"learning_rates": "1e-4,3e-4", "epochs": "3", "seeds": 2}, 12),
    ({"learning_rates": "1e-4,3e-4,1e-3", "epochs": "3", "seeds": 3}, 18),
)
# Tasks whose inputs decide their amounts, and tasks with a grid, with the option of their inputs.
FIXED = ("retrieval", "geometry", "fill-mask", "needle")
WITH_GRID = {"jglue": "data", "ner": "entities"}
# Shares of the time of the evaluations, after the tasks whose inputs decide their amounts; JGLUE has the rest.
VALIDATION_SHARE, PSEUDO_PERPLEXITY_SHARE = 0.1, 0.3
# Options that are chosen; a user's values of them do not count.
CHOSEN = {name for ladder in (VALIDATION, PSEUDO_PERPLEXITY) for name in ladder[0]} | set(GRIDS[0][0])


def amounts_for(folder: Path, choices: Mapping[str, Any], hours: float, out: Path | None = None) -> dict[str, Any]:
    """The choices for `evaluate_run` with amounts that take about `hours`; see there for the arguments.

    Raises:
        UserError: see `forecast_run`.
    """
    inputs = {name: value for name, value in choices.items() if value is not None and name not in CHOSEN}
    texts = {name: str(value) for name, value in inputs.items()}
    file = (out or Run(folder).evals) / FILE
    if file.is_file():
        content = read_object(file, "amounts that `eval all` chose", FORM)
        if (content["hours"], content["inputs"]) == (hours, texts):
            amounts: dict[str, Any] = content["amounts"]
            return inputs | amounts
    say("choosing the amounts of the evaluations by a forecast")

    def forecast(task: str, amounts: Amounts) -> float:
        with progress_shown(False):
            times = forecast_run(folder, {**inputs, **amounts}, [task])
        return sum(times.values())

    amounts, seconds = choose_amounts(forecast, 3600 * hours)
    if (least := sum(seconds.values())) > 3600 * hours:
        say(f"--hours {hours:g}: even the least amounts take about {duration(least)}")
    write_json(file, {"hours": hours, "inputs": texts, "amounts": amounts, "seconds": seconds})
    return inputs | amounts


def choose_amounts(forecast: Callable[[str, Amounts], float], seconds: float) -> tuple[Amounts, dict[str, float]]:
    """Options for `eval all` that take about `seconds`, and the forecast of each task.

    `forecast(task, amounts)` gives seconds, 0 for a task that has no inputs. Where the smallest grid does not fit, its
    inputs are None in the options, which leaves the tasks with grids out.
    """
    times = {task: forecast(task, {}) for task in FIXED}
    rest = max(0.0, seconds - sum(times.values()))
    amounts: dict[str, Any] = {}
    ladders = (
        ("validation", VALIDATION, VALIDATION_SHARE),
        ("pseudo-perplexity", PSEUDO_PERPLEXITY, PSEUDO_PERPLEXITY_SHARE),
    )
    for task, ladder, share in ladders:
        chosen, times[task] = _highest(ladder, share * rest, partial(forecast, task))
        amounts |= chosen
    rest = max(0.0, seconds - sum(times.values()))
    single = {task: forecast(task, GRIDS[0][0]) for task in WITH_GRID}
    fitting = [(grid, passes) for grid, passes in GRIDS if passes * sum(single.values()) <= rest]
    if not fitting:
        return amounts | dict.fromkeys(WITH_GRID.values()), times
    grid, passes = fitting[-1]
    times |= {task: passes * needed for task, needed in single.items() if needed}
    return amounts | (grid if any(single.values()) else {}), times


def _highest(ladder: Sequence[Amounts], seconds: float, forecast: Callable[[Amounts], float]) -> tuple[Amounts, float]:
    """The highest rung that takes at most `seconds`, or else the lowest one, and its forecast.

    A forecast takes seconds, so the rungs are halved; each takes longer than the one before it.
    """
    needed = cache(lambda place: forecast(ladder[place]))
    place = max(0, bisect_right(range(len(ladder)), seconds, key=needed) - 1)
    return ladder[place], needed(place)
