"""Entities by fine-tuning over a grid: the protocols, seeds, trials and records of JGLUE's tasks."""

from collections.abc import Iterator
from dataclasses import replace

from anaume.encoder.load import open_tokenizer
from anaume.evals.jglue.grid import chosen_grid, evaluate, print_forecast
from anaume.evals.jglue.trials import Experiment, TaskFamily, open_experiments
from anaume.evals.ner import data
from anaume.evals.ner.data import MIN_CEILING, EntityTask
from anaume.evals.record import Record
from anaume.evals.task import Evaluation, Request, Subject
from anaume.evals.tasks import NerOptions
from anaume.finetune.items import MAX_LENGTH
from anaume.progress import say

ENTITIES = TaskFamily(data.read_task, data.hold_out, data.encode, data.measure)


def prepare(request: Request[NerOptions]) -> Evaluation:
    """Read the data, open the models, print the ceiling of each and forecast the time.

    A record is always made anew from the trials' files, which tell what has been trained.

    Raises:
        UserError: see `read_task`, `parse` and `open_experiments`.
    """
    options = request.options
    assert options.entities
    data.check_split(options.split)
    grid = chosen_grid("", options)
    task = EntityTask(options.split)
    experiments = [_settled(e) for e in open_experiments(request.models, options.entities, [task], ENTITIES)]
    seconds = print_forecast(experiments, grid, request.out)

    def measure(subject: Subject) -> Iterator[Record]:
        return (evaluate(item, grid, request.out) for item in experiments if item.model == subject.path)

    return Evaluation(measure, forecast=lambda _: seconds)


def _settled(experiment: Experiment) -> Experiment:
    """Choose the split of the model's tokenizer by the training split, and print what it allows."""
    task = experiment.task
    assert isinstance(task, EntityTask)
    examples = data.read_task(task, experiment.data).splits["train"]
    tokenizer = open_tokenizer(experiment.model, masked_lm=False)
    chosen = data.choose_split(task, tokenizer, examples, min(MAX_LENGTH, experiment.max_length))
    say(f"{task.name}, {experiment.name}: {chosen.line}")
    if chosen.ceiling < MIN_CEILING:
        say(f"{task.name}, {experiment.name}: the ceiling is below {MIN_CEILING:.1%}")
    return replace(experiment, task=replace(task, split=chosen.split))
