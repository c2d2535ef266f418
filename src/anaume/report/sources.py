"""What the report reads: run directories and folders of evaluation records → `Source`s.

Nothing here computes a result; producers write records, the report reads them. An input that is neither is a
`UserError`, before anything is written.
"""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

from anaume.errors import UserError
from anaume.evals.record import Record, load_record
from anaume.report.curves import Curve, last_lines, read_metrics

RUN_FILES = ("recipe.toml", "manifest.json", "metrics.jsonl")
# The lexical pseudo-models of retrieval.
BASELINES = {"edit-distance": "Edit distance", "jaccard": "Jaccard", "bm25": "BM25"}


@dataclass(frozen=True)
class Model:
    """One model's records. `stage` and `step` place it in the source's run, if it is a checkpoint of that."""

    label: str
    records: dict[str, Record]
    stage: str = ""
    step: int = 0

    @property
    def baseline(self) -> bool:
        return any(record.model in BASELINES for record in self.records.values())

    def metric(self, task: str, name: str) -> float | None:
        """The number of that name, None where it was not evaluated."""
        record = self.records.get(task)
        value = None if record is None else record.metrics.get(name)
        return None if value is None else float(value)  # JSON may hold a share as 0 or 1


@dataclass(frozen=True)
class Source:
    """One input: a run (with what exists of curves, recipe, manifest and so on) or a folder of records.

    `summary` is that of the training tokens, `last_lines` has the last line of training of each stage.
    """

    name: str
    stages: tuple[str, ...] = ()
    train: dict[str, Curve] = field(default_factory=dict)
    validation: dict[str, Curve] = field(default_factory=dict)
    recipe_text: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    last_lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    checkpoints: tuple[Model, ...] = ()
    others: tuple[Model, ...] = ()

    @property
    def is_run(self) -> bool:
        return bool(self.train or self.validation or self.recipe or self.manifest or self.checkpoints)

    def last_step(self, stage: str) -> int:
        """The furthest step seen of a stage, in its metrics or among its checkpoints."""
        steps = [model.step for model in self.checkpoints if model.stage == stage]
        for curves in (self.train, self.validation):
            if stage in curves:
                steps.append(int(curves[stage]["step"].max()))
        return max(steps, default=0)

    def offset(self, stage: str) -> int:
        """Steps before this stage: what its own steps (counted from 0) are shifted by on a common axis."""
        before = self.stages[: self.stages.index(stage)]
        return sum(self.last_step(name) for name in before)

    @property
    def milestones(self) -> tuple[Model, ...]:
        """The first checkpoint and the last one of each stage."""
        last = {model.stage: model for model in self.checkpoints}
        return tuple(m for i, m in enumerate(self.checkpoints) if i == 0 or last[m.stage] is m)


def all_models(sources: Sequence[Source]) -> list[Model]:
    """Every checkpoint of every run, then all other models."""
    checkpoints = [model for source in sources for model in source.checkpoints]
    return checkpoints + [model for source in sources for model in source.others]


def read_sources(inputs: Sequence[Path]) -> tuple[Source, ...]:
    """Read every input; models are labelled with their source's name where there are several sources.

    Raises:
        UserError: no input at all, or one that is neither a run directory nor a folder of records.
    """
    if not inputs:
        raise UserError("report: no input; accepted: run directories and folders of evaluation records")
    paths = list(dict.fromkeys(path.resolve() for path in inputs))
    sources = [_read(path) for path in paths if not (path.name == "evals" and path.parent in paths)]
    names = _distinct([source.name for source in sources])
    sources = [replace(source, name=name) for source, name in zip(sources, names, strict=True)]
    sources = _without_twins(sources)
    return tuple(_labelled(source, sources) for source in sources)


def _read(path: Path) -> Source:
    if any((path / name).is_file() for name in RUN_FILES):
        return _read_run(path)
    records = _read_records(path) if path.is_dir() else []
    if not records:
        raise UserError(
            f"{path}: neither a run directory nor evaluation records; accepted: a folder with one of "
            f"{', '.join(RUN_FILES)}, or with <model>/<task>.json"
        )
    return _with_models(Source(name=path.parent.name if path.name == "evals" else path.name), records)


def _read_run(path: Path) -> Source:
    recipe_text, recipe = _read_recipe(path / "recipe.toml")
    manifest = _read_object(path / "manifest.json", "a manifest")
    metrics_file = path / "metrics.jsonl"
    metrics = read_metrics(metrics_file) if metrics_file.is_file() else {}
    train = {stage: curve for (kind, stage), curve in metrics.items() if kind == "train"}
    planned = [str(stage["name"]) for stage in recipe.get("stage", []) if "name" in stage]
    source = Source(
        name=str(manifest.get("name") or recipe.get("name") or path.name),
        stages=tuple(dict.fromkeys([*planned, *(stage for _, stage in metrics)])),
        train=train,
        validation={stage: curve for (kind, stage), curve in metrics.items() if kind == "validation"},
        recipe_text=recipe_text,
        recipe=recipe,
        manifest=manifest,
        summary=_read_object(path / "tokens" / "train" / "summary.json", "a summary"),
        last_lines=last_lines(metrics_file, list(train)) if train else {},
    )
    return _with_models(source, _read_records(path / "evals"))


def _read_recipe(path: Path) -> tuple[str, dict[str, Any]]:
    if not path.is_file():
        return "", {}
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a recipe ({error}); accepted: TOML in UTF-8") from error


def _read_object(path: Path, what: str) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not {what} ({error}); accepted: a JSON object") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: {found!r:.40} is not {what}; accepted: a JSON object")
    return found


def _read_records(folder: Path) -> list[Record]:
    """All records below `folder` (a model's name may hold a slash), in the order of their paths."""
    paths = sorted(
        path
        for path in folder.glob("*/**/*.json")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)  # evals/.tokens, temporaries
    )
    records = [load_record(path) for path in paths]
    for path, record in zip(paths, records, strict=True):
        parts = (record.metrics, record.settings, record.checkpoint, record.n)
        if not all(isinstance(part, kind) for part, kind in zip(parts, (dict, dict, dict, int), strict=True)):
            accepted = "objects in metrics, settings and checkpoint, n"
            raise UserError(f"{path}: not an evaluation record; accepted: {accepted}")
        for name, value in record.metrics.items():
            if not isinstance(value, int | float | None):
                raise UserError(f"{path}: {name} is {value!r:.40}; accepted: a number")
    return records


def _with_models(source: Source, records: list[Record]) -> Source:
    """Group records by model; a run's checkpoints in the order of the run, others by name, baselines last."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.model, []).append(record)
    models = [_model(group) for group in groups.values()]
    checkpoints = [model for model in models if model.stage]
    # A stage that neither recipe nor metrics know comes after those they do, by the tokens seen until then.
    tokens: dict[str, float] = {}
    for group in groups.values():
        place = _place(group)
        stage = str(place.get("stage", ""))
        tokens[stage] = min(tokens.get(stage, inf), place.get("tokens") or inf)
    unknown = {model.stage for model in checkpoints} - set(source.stages)
    stages = (*source.stages, *sorted(unknown, key=lambda stage: (tokens[stage], stage)))
    return replace(
        source,
        stages=stages,
        checkpoints=tuple(sorted(checkpoints, key=lambda model: (stages.index(model.stage), model.step))),
        others=tuple(sorted((m for m in models if not m.stage), key=lambda m: (m.baseline, m.label))),
    )


def _place(records: list[Record]) -> dict[str, Any]:
    """Where in its run a model stands; JGLUE's records don't say it, and those of the other tasks beside them do."""
    return next((record.checkpoint for record in records if record.checkpoint.get("stage")), {})


def _model(records: list[Record]) -> Model:
    place = _place(records)
    by_task = {record.task: record for record in records}
    if not place:
        return Model(label=_label(records[0]), records=by_task)
    stage, step = str(place["stage"]), int(place.get("step", 0))
    return Model(label=f"{stage}, step {step:,}", records=by_task, stage=stage, step=step)


def _label(record: Record) -> str:
    """A model's name; a lexical baseline's with its unit, on which its figures depend."""
    if record.model not in BASELINES:
        return record.model
    unit = record.settings.get("unit")
    return BASELINES[record.model] + (f" ({unit})" if unit else "")


def _distinct(names: list[str]) -> list[str]:
    """Number names that occur again: two runs of one recipe share its name."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return distinct


def _without_twins(sources: list[Source]) -> list[Source]:
    """Leave a model out that an earlier source has with the very same records.

    Such are the lexical baselines of two runs on the same pairs.
    """
    kept: list[Source] = []
    for source in sources:
        earlier = [model for other in kept for model in other.others]
        kept.append(replace(source, others=tuple(m for m in source.others if m not in earlier)))
    return kept


def _labelled(source: Source, sources: list[Source]) -> Source:
    """Put the source's name before its checkpoints, and before a label that another source has too."""
    if len(sources) == 1:
        return source
    elsewhere = {m.label for other in sources if other is not source for m in other.others}
    named = {m.label: f"{source.name}: {m.label}" for m in source.others if m.label in elsewhere}
    return replace(
        source,
        checkpoints=tuple(replace(m, label=f"{source.name}: {m.label}") for m in source.checkpoints),
        others=tuple(replace(m, label=named.get(m.label, m.label)) for m in source.others),
    )
