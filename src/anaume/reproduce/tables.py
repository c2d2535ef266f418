"""A run → the paper's Tables 1 to 4 with the paper's numbers beside ours, and what was measured in which amounts."""

from collections.abc import Mapping
from typing import Any

from anaume.formats import MISSING, number, percent, short
from anaume.report.inputs import EvaluatedModel, ReportInput
from anaume.report.tables import Cell, Column, Table
from anaume.reproduce import evidence, paper

QUESTIONS = 12  # sentences in Table 3
NEAREST = 0.005  # shares of the steps that count as the paper's moment


def stage_words(run: ReportInput) -> list[str]:
    """The stages in words."""
    return [f"{int(s['steps']):,} steps of {int(s['length']):,} tokens at most" for s in run.recipe["stage"]]


def seconds_of(run: ReportInput) -> float:
    """Seconds of training, from the tokens and the speed of each logged line."""
    total, before = 0.0, 0.0
    for stage in run.stages:
        if stage in run.train:
            curve = run.train[stage]
            for tokens, speed in zip(curve["tokens"], curve["tokens_per_second"], strict=True):
                total += (tokens - before) / speed if speed > 0 and tokens > before else 0.0
                before = max(before, float(tokens))
    return total


def training(run: ReportInput) -> Table:
    """Table 1: the settings of both stages."""
    stages = run.recipe["stage"]
    ours = [_settings(stage) for stage in (stages[0], stages[-1])]
    rows = [
        (Cell(name), Cell(theirs[0]), Cell(ours[0][name]), Cell(theirs[1]), Cell(ours[1][name]))
        for name, theirs in paper.TRAINING.items()
    ]
    columns = ("", "Stage 1, paper", "here", "Stage 2, paper", "here")
    return Table("paper-table-1", "", tuple(Column(title) for title in columns), tuple(rows))


def _settings(stage: Mapping[str, Any]) -> dict[str, str]:
    betas = f"{stage['adam_beta1']:g}, {stage['adam_beta2']:g}, {stage['adam_eps']:g}, {stage['weight_decay']:g}"
    return {
        "maximum length": f"{stage['length']:,}",
        "steps": f"{stage['steps']:,}",
        "tokens in a batch": f"{stage['batch_tokens']:,}",
        "peak learning rate": number(stage["learning_rate"]),
        "warm-up steps": f"{stage['warmup_steps']:,}",
        "schedule": stage["schedule"],
        "optimizer": {"adamw": "AdamW", "muon": "Muon"}.get(stage["optimizer"], stage["optimizer"]),
        "betas, eps, weight decay": betas,
        "masked, of those mask / random": f"{100 * stage['mask_rate']:g} %, {100 * stage['mask_share']:g} % / "
        f"{100 * stage['random_share']:g} %",
        "theta": f"{stage['rope_theta']:,.0f}",
        "documents, rows": f"{stage['documents']}, {'packed' if stage['packing'] else 'padded'}",
    }


def moment(run: ReportInput, model: EvaluatedModel) -> str:
    """A checkpoint in words."""
    share = evidence.share_of(run, model)
    return f"{model.stage}, {model.step:,}" + ("" if share > 1 else f" ({100 * share:.3g} %)")


def jglue(run: ReportInput) -> Table | None:
    """Table 2: JGLUE at each checkpoint, × 100, the paper's values at the same share of the steps."""
    models = [m for m in evidence.checkpoints(run) if any(task in m.records for task in evidence.JGLUE)]
    if not models:
        return None
    columns = [Column("Checkpoint")]
    for title in ("JSTS", "JNLI", "JCoLA", "average"):
        columns += [Column(f"{title}, paper", numeric=True), Column("here", numeric=True)]
    rows = []
    for model in models:
        theirs = _paper_at(evidence.share_of(run, model))
        ours = [model.metric(task, metric) for task, metric in evidence.JGLUE.items()]
        spread = [model.metric(task, f"{metric}_std") for task, metric in evidence.JGLUE.items()]
        cells = [Cell(moment(run, model))]
        for place in range(3):
            cells += [Cell(f"{theirs[place]:.1f}" if theirs else MISSING), Cell(percent(ours[place], spread[place]))]
        known = [value for value in ours if value is not None]
        cells.append(Cell(f"{sum(theirs) / 3:.1f}" if theirs else MISSING))
        cells.append(Cell(percent(sum(known) / 3 if len(known) == 3 else None)))
        rows.append(tuple(cells))
    record = next(models[-1].records[task] for task in evidence.JGLUE if task in models[-1].records)
    s = record.settings
    caption = (
        f"Pearson and accuracies on validation, × 100. Here: protocol “{s.get('protocol')}”, learning rates "
        f"{', '.join(f'{rate:g}' for rate in s.get('learning_rates', []))}, epochs "
        f"{', '.join(map(str, s.get('epochs', [])))}, seeds: {s.get('seeds')}; the paper: best of 36 cells. "
        + " ".join(s.get("notes", []))
    )
    return Table("paper-table-2", caption, tuple(columns), tuple(rows))


def _paper_at(share: float) -> tuple[float, ...]:
    if share > 1:
        return paper.JGLUE["stage 2"]
    moments = {key: values for key, values in paper.JGLUE.items() if isinstance(key, float)}
    nearest = min(moments, key=lambda key: abs(key - share))
    return moments[nearest] if share > 0 and abs(nearest - share) <= max(NEAREST, 0.1 * share) else ()


def fill_mask(run: ReportInput) -> Table | None:
    """Table 3: the first guess at the milestones."""
    models = [model for model in run.milestones if "fill-mask" in model.records]
    if not models:
        return None
    guesses = [{row["text"]: row for row in m.records["fill-mask"].details if "text" in row} for m in models]
    texts = list(guesses[-1])[:: max(1, len(guesses[-1]) // QUESTIONS)][:QUESTIONS]
    rows = []
    for text in texts:
        answers = guesses[-1][text].get("answers", [])
        cells = [Cell(text), Cell(", ".join(answers))]
        for of_model in guesses:
            first = (of_model.get(text, {}).get("predictions") or [{}])[0].get("text", MISSING)
            cells.append(Cell(first, strong=first in answers))
        rows.append(tuple(cells))
    accuracy = [Cell(percent(model.metric("fill-mask", "accuracy_at_1")) + " %", strong=False) for model in models]
    n = models[-1].records["fill-mask"].n
    rows.append((Cell(f"all {n:,} questions, right at the first guess"), Cell(), *accuracy))
    heads = [Column("Sentence", wide=True), Column("Answer"), *(Column(moment(run, model)) for model in models)]
    return Table("paper-table-3", "The first guess; right ones in bold.", tuple(heads), tuple(rows))


def retrieval(run: ReportInput) -> Table | None:
    """Table 4: Recall@10 and MRR@10 at the end of each stage, and of the lexical baselines."""
    models = [model for model in (*run.milestones, *run.others) if "retrieval" in model.records]
    if not models:
        return None
    rows = []
    for model in models:
        theirs: tuple[float, ...] = ()
        if model is run.checkpoints[-1]:
            theirs = paper.RETRIEVAL["the model"]
        elif model.baseline:
            name = model.records["retrieval"].model
            theirs = {
                "edit-distance-raw": paper.RETRIEVAL["Edit distance"],
                "jaccard-spaces": paper.RETRIEVAL["Jaccard"],
            }.get(name, ())
        ours = [model.metric("retrieval", metric) for metric in ("recall_at_10", "mrr_at_10")]
        label = model.label if model.baseline else moment(run, model)
        cells = [Cell(label)]
        for place in range(2):
            cells += [Cell(f"{theirs[place]:.3f}" if theirs else MISSING), Cell(number(ours[place]))]
        rows.append(tuple(cells))
    record = models[0].records["retrieval"]
    caption = (
        f"{record.n:,} queries of {record.settings.get('data', 'pairs')}; the paper: 3,477 of MIRACL-ja. The units of "
        "the paper's lexical baselines are not published; those that fit its values best stand beside them."
    )
    titles = ("", "Recall@10, paper", "here", "MRR@10, paper", "here")
    return Table("paper-table-4", caption, tuple(Column(t, numeric=bool(t)) for t in titles), tuple(rows))


def amounts(run: ReportInput) -> Table:
    """What the evaluations read at each checkpoint."""
    last = run.checkpoints[-1].records
    rows = []
    for task, record in last.items():
        settings = {
            key: record.settings.get(key) for key in ("tokens", "documents", "positions", "random_pairs", "seeds")
        }
        chosen = ", ".join(f"{short(v) if v >= 100_000 else v} {k}" for k, v in settings.items() if isinstance(v, int))
        texts = record.settings.get("texts") or record.settings.get("data") or MISSING
        rows.append((Cell(task), Cell(f"{record.n:,}"), Cell(chosen or MISSING), Cell(str(texts))))
    caption = (
        "Examples scored at each checkpoint, at most. The amounts are chosen so that all evaluations together take no "
        "longer than the training."
    )
    if "jsts" not in last and "jnli" not in last and "jcola" not in last:
        caption += " JGLUE was not measured: there was no data, or no time for its smallest grid."
    columns = (Column("Task"), Column("n", numeric=True), Column("Amounts"), Column("Data"))
    return Table("paper-amounts", caption, columns, tuple(rows))
