"""Run directories and folders of evaluation records → one `ReportInput` each, or one for each run in a folder.

The report computes no result: other commands write records, and the report reads them. Every input is read before
anything is written, so that a wrong path leaves no unfinished report behind.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

from anaume.errors import UserError, redact
from anaume.evals.record import BASELINES, Record, load_record
from anaume.files.objects import Form, read_object
from anaume.report.curves import Curve, last_lines, read_metrics
from anaume.run import Run

# Types of the entries that the sections use.
MANIFEST = {
    **{"name": str, "created": str, "recipe_hash": str, "parameters": int, "data": dict, "environment": dict},
    "changes": [{"recipe_hash": str}],
}
SUMMARY = {
    "length_histogram": [{"low": int, "high": int | None, "documents": int}],
    "length_quantiles": dict.fromkeys(("0.5", "0.9", "0.99", "1"), int),
}


@dataclass(frozen=True)
class EvaluatedModel:
    """A model and its records by task. A checkpoint of the run has a `stage` and a `step`, other models have none."""

    label: str
    records: dict[str, Record]
    stage: str = ""
    step: int = 0

    @property
    def baseline(self) -> bool:
        """Whether this is a lexical baseline."""
        return any(record.model in BASELINES for record in self.records.values())

    def metric(self, task: str, name: str) -> float | None:
        """The value of a task's metric; None where the model was not evaluated."""
        record = self.records.get(task)
        value = None if record is None else record.metrics.get(name)
        return None if value is None else float(value)  # JSON may hold a share as 0 or 1


@dataclass(frozen=True)
class ReportInput:
    """A run, with whatever exists of its curves, recipe, manifest and records, or a folder of records.

    `train`                 stage → curve of metrics.jsonl
    `validation_sets`       name of a validation set, "" without one → stage → curve of metrics.jsonl
    `summary`               the summary of the training tokens, with the histogram of document lengths
    `last_lines`            stage → its last line of training in metrics.jsonl
    `checkpoints`           the evaluated checkpoints, in the order of training
    `others`                all other evaluated models, by name, the lexical baselines last
    `left_out`              a line for each damaged file, of which the report shows nothing
    """

    name: str
    stages: tuple[str, ...] = ()
    train: dict[str, Curve] = field(default_factory=dict)
    validation_sets: dict[str, dict[str, Curve]] = field(default_factory=dict)
    recipe_text: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    last_lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    checkpoints: tuple[EvaluatedModel, ...] = ()
    others: tuple[EvaluatedModel, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def validation(self) -> dict[str, Curve]:
        """Stage → curve of the first validation set, which stands for the run in key figures."""
        return next(iter(self.validation_sets.values()), {})

    @property
    def is_run(self) -> bool:
        """Whether anything of a run was found; a folder of records may hold checkpoints of a run."""
        return bool(self.train or self.validation or self.recipe or self.manifest or self.checkpoints)

    def last_step(self, stage: str) -> int:
        """The highest step of a stage in its metrics and among its checkpoints; 0 where it has neither."""
        steps = [model.step for model in self.checkpoints if model.stage == stage]
        for curves in (self.train, self.validation):
            if stage in curves:
                steps.append(int(curves[stage]["step"].max()))
        return max(steps, default=0)

    def offset(self, stage: str) -> int:
        """Steps of all stages before this one: added to a stage's own steps, they give steps on one common axis."""
        before = self.stages[: self.stages.index(stage)]
        return sum(self.last_step(name) for name in before)

    def over_checkpoints(self, task: str, metric: str) -> list[tuple[int, float]]:
        """(step on the common axis, value) of every checkpoint that has the metric."""
        points = [(self.offset(model.stage) + model.step, model.metric(task, metric)) for model in self.checkpoints]
        return [(step, value) for step, value in points if value is not None]

    @property
    def milestones(self) -> tuple[EvaluatedModel, ...]:
        """The first checkpoint and the last one of each stage."""
        last = {model.stage: model for model in self.checkpoints}
        return tuple(m for i, m in enumerate(self.checkpoints) if i == 0 or last[m.stage] is m)


def read_inputs(paths: Sequence[Path]) -> tuple[ReportInput, ...]:
    """Read every path once; where there are several inputs, the labels of their models begin with the input's name.

    Raises:
        UserError: there is no path, or one is neither a run directory nor a folder of records, or a file is damaged.
    """
    if not paths:
        raise UserError("report: no input; expected run directories or folders of evaluation records")
    folders = list(dict.fromkeys(path.resolve() for path in paths))
    parts_of_runs = {Run(folder).evals for folder in folders}
    inputs = [entry for folder in folders if folder not in parts_of_runs for entry in _read(folder)]
    names = _distinct([entry.name for entry in inputs])
    inputs = [replace(entry, name=name) for entry, name in zip(inputs, names, strict=True)]
    inputs = _without_repeated_models(inputs)
    return tuple(_labelled(entry, inputs) for entry in inputs)


def _read(folder: Path) -> list[ReportInput]:
    run = Run(folder)
    run_files = run.main_files
    if run.exists or run.manifest_file.is_file() or run.metrics_file.is_file():
        return [_read_run(run)]
    records, left_out = _read_records(folder) if folder.is_dir() else ([], [])
    if not records:
        if left_out:
            raise UserError(left_out[0])
        raise UserError(
            f"{folder}: neither a run directory nor evaluation records; expected a folder with one of "
            f"{', '.join(file.name for file in run_files)}, or with <model>/<task>.json"
        )
    of_run = folder == Run(folder.parent).evals
    name = folder.parent.name if of_run else folder.name
    entry = ReportInput(name=name, left_out=tuple(left_out))
    models = _by_model(records)
    runs = sorted({_run_of(group) for group in models if _place(group)})
    if len(runs) < 2:
        return [_with_models(entry, models)]
    # The stages of two runs have the same names, and their checkpoints are not one training.
    others = _with_models(entry, [group for group in models if not _place(group)])
    inputs = [
        _with_models(
            ReportInput(name or entry.name), [group for group in models if _place(group) and _run_of(group) == name]
        )
        for name in runs
    ]
    return [*inputs, others] if others.others or left_out else inputs


def _by_model(records: list[Record]) -> list[list[Record]]:
    """The records of each model, in the order of the first ones."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.model, []).append(record)
    return list(groups.values())


def _run_of(records: list[Record]) -> str:
    """The name of a checkpoint's run; "" in the run's own folder."""
    return str(_place(records).get("run", ""))


def _read_run(run: Run) -> ReportInput:
    left_out: list[str] = []
    manifest = _or_left_out(left_out, {}, _read_optional, run.manifest_file, "a manifest", MANIFEST)
    recipe_text, recipe = _or_left_out(left_out, ("", {}), _read_recipe, run, manifest)
    summary = _or_left_out(left_out, {}, _read_optional, run.tokens_summary("train"), "a summary", SUMMARY)
    metrics, damaged_lines = read_metrics(run.metrics_file) if run.metrics_file.is_file() else ({}, [])
    left_out += damaged_lines
    records, damaged = _read_records(run.evals)
    # Checkpoints of another run, which was evaluated into this folder, are models like any other.
    models = [
        [replace(record, checkpoint={}) for record in group] if _run_of(group) else group
        for group in _by_model(records)
    ]
    train = {stage: curve for (kind, stage, _), curve in metrics.items() if kind == "train"}
    validation_sets: dict[str, dict[str, Curve]] = {}
    for (kind, stage, name), curve in metrics.items():
        if kind == "validation":
            validation_sets.setdefault(name, {})[stage] = curve
    planned = [str(stage["name"]) for stage in recipe.get("stage", []) if "name" in stage]
    entry = ReportInput(
        name=str(manifest.get("name") or recipe.get("name") or run.folder.name),
        stages=tuple(dict.fromkeys([*planned, *(stage for _, stage, _ in metrics)])),
        train=train,
        validation_sets=validation_sets,
        recipe_text=recipe_text,
        recipe=recipe,
        manifest=manifest,
        summary=summary,
        last_lines=last_lines(run.metrics_file, list(train)) if train else {},
        left_out=(*left_out, *damaged),
    )
    return _with_models(entry, models)


def _read_optional(path: Path, kind: str, form: Form) -> dict[str, Any]:
    """The JSON object in a file; empty where there is no file."""
    return read_object(path, kind, form, required=False) if path.is_file() else {}


def _read_recipe(run: Run, manifest: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The text of a recipe and its tables, as they are: a report of an old run needs no valid recipe of today."""
    path = run.recipe_file
    if not path.is_file():
        return "", {}
    try:
        text = redact(path.read_text(encoding="utf-8"))
        recipe = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a recipe ({error}); expected TOML in UTF-8") from error
    corpus = recipe.get("corpus", {})
    parts = {key: recipe.get(key, {}) for key in ("model", "corpus")}
    lists = {"stage": recipe.get("stage", []), "corpus.train": isinstance(corpus, dict) and corpus.get("train", [])}
    for key, value in (*parts.items(), *lists.items()):
        tables = value if isinstance(value, list) and key in lists else [value]
        if not all(isinstance(table, dict) for table in tables):
            raise UserError(f"{path}: {key} = {value!r:.40}: not a recipe; expected tables")
    if "recipe_hash" in manifest:
        run.require_own_recipe(manifest)
    return text, recipe


def record_files(folder: Path) -> list[Path]:
    """The files of all records below `folder`, sorted."""
    return sorted(
        path
        for path in folder.glob("*/**/*.json")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)  # evals/.tokens, temporary files
    )


def _read_records(folder: Path) -> tuple[list[Record], list[str]]:
    """All records below `folder`, in the order of their paths, and a line for each file that could not be read.

    The name of a model may hold a slash.
    """
    left_out: list[str] = []
    records = [_or_left_out(left_out, None, load_record, path) for path in record_files(folder)]
    return [record for record in records if record is not None], left_out


def _or_left_out(left_out: list[str], absent: Any, read: Callable[..., Any], *arguments: Any) -> Any:
    """The result of `read`, or `absent` and a line in `left_out` if the file is damaged."""
    try:
        return read(*arguments)
    except UserError as error:
        left_out.append(str(error))
        return absent


def _with_models(entry: ReportInput, groups: list[list[Record]]) -> ReportInput:
    """Add the models of groups of records: checkpoints in the order of training, others by name, baselines last."""
    models = [_model(group, entry.name) for group in groups]
    checkpoints = [model for model in models if model.stage]
    # Stages that neither the recipe nor the metrics name come last, ordered by the tokens of their first checkpoint.
    tokens: dict[str, float] = {}
    for group in groups:
        place = _place(group)
        stage = str(place.get("stage", ""))
        tokens[stage] = min(tokens.get(stage, inf), place.get("tokens") or inf)
    unknown = {model.stage for model in checkpoints} - set(entry.stages)
    stages = (*entry.stages, *sorted(unknown, key=lambda stage: (tokens[stage], stage)))
    return replace(
        entry,
        stages=stages,
        checkpoints=tuple(sorted(checkpoints, key=lambda model: (stages.index(model.stage), model.step))),
        others=tuple(sorted((m for m in models if not m.stage), key=lambda m: (m.baseline, m.label))),
    )


def _place(records: list[Record]) -> dict[str, Any]:
    """The stage, step and tokens of a checkpoint, from the first record that has them; JGLUE's records don't."""
    return next((record.checkpoint for record in records if record.checkpoint.get("stage")), {})


def _model(records: list[Record], input_name: str) -> EvaluatedModel:
    place = _place(records)
    by_task = {record.task: record for record in records}
    if not place:
        return EvaluatedModel(label=_label(records[0]), records=by_task)
    stage, step = str(place["stage"]), int(place.get("step", 0))
    run = f"{place['run']}: " if place.get("run") not in (None, "", input_name) else ""
    return EvaluatedModel(label=f"{run}{stage}, step {step:,}", records=by_task, stage=stage, step=step)


def _label(record: Record) -> str:
    """The name of a model; a lexical baseline adds its unit, because its scores depend on it."""
    if record.model not in BASELINES:
        return record.model
    unit = record.settings.get("unit")
    return BASELINES[record.model] + (f" ({unit})" if unit else "")


def _distinct(names: list[str]) -> list[str]:
    """The names, with a number behind each repetition: two runs of one recipe share its name."""
    counts: dict[str, int] = {}
    distinct = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        distinct.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return distinct


def _without_repeated_models(inputs: list[ReportInput]) -> list[ReportInput]:
    """Drop models that an earlier input has with equal records, such as the baselines of two runs on one corpus."""
    kept: list[ReportInput] = []
    for entry in inputs:
        earlier = [model for other in kept for model in other.others]
        kept.append(replace(entry, others=tuple(m for m in entry.others if m not in earlier)))
    return kept


def _labelled(entry: ReportInput, inputs: list[ReportInput]) -> ReportInput:
    """Put the input's name before the labels of its checkpoints, and before labels that another input has too."""
    if len(inputs) == 1:
        return entry
    elsewhere = {m.label for other in inputs if other is not entry for m in other.others}
    named = {m.label: f"{entry.name}: {m.label}" for m in entry.others if m.label in elsewhere}
    return replace(
        entry,
        checkpoints=tuple(replace(m, label=f"{entry.name}: {m.label}") for m in entry.checkpoints),
        others=tuple(replace(m, label=named.get(m.label, m.label)) for m in entry.others),
    )
