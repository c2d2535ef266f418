"""Zero-shot retrieval, beside lexical baselines that compare strings only."""

from collections.abc import Sequence

import numpy as np

from anaume.report.comparable import DATA, PRECISION, Aspect, setting
from anaume.report.draw.panels import Panel
from anaume.report.draw.steps import checkpoint_lines
from anaume.report.inputs import ReportInput
from anaume.report.models import compared
from anaume.report.models_table import metrics_table
from anaume.report.section import Content, KeyFigure, Score, Section, present, task_columns
from anaume.report.tables import Table

TASK = "retrieval"
# Recall@10 and MRR@10 are the paper's (Table 4); nDCG@10 is that of BEIR, MIRACL and MLDR.
SCORES = {
    "ndcg_at_10": "nDCG@10",
    "recall_at_10": "Recall@10",
    "mrr_at_10": "MRR@10",
    "recall_at_1": "Recall@1",
    "recall_at_100": "Recall@100",
}
CLEAN = {f"clean_{name}": f"{title}, not in training" for name, title in SCORES.items()}
ASPECTS = (DATA, Aspect("Texts searched", setting("corpus")), PRECISION)


def scores(inputs: Sequence[ReportInput]) -> Table | None:
    """nDCG, recall and mean reciprocal rank, the lexical baselines last."""
    caption = "Zero-shot retrieval; edit distance, Jaccard and BM25 compare strings, in the units in brackets."
    if any(model.label.startswith("Edit distance, not normalised") for model in compared(inputs)):
        caption += (
            " The paper does not state the units of its edit distance (Recall@10 0.289) and Jaccard distance (0.031);"
            " the distance that is not normalised and words between spaces are likely its own."
        )
    return metrics_table(TASK, caption, compared(inputs), TASK, ASPECTS, shown=SCORES | CLEAN, highest=tuple(SCORES))


def over_steps(run: ReportInput) -> tuple[Panel, ...]:
    """Recall and mean reciprocal rank over the checkpoints, with the recall of the baselines as levels."""
    lines = checkpoint_lines(run, TASK, ("Recall@10", "recall_at_10", "recall"), ("MRR@10", "mrr_at_10", "mrr"))
    recalls = [(model.label, model.metric(TASK, "recall_at_10")) for model in run.others if model.baseline]
    known = [(name, value) for name, value in recalls if value is not None and np.isfinite(value)]
    levels = tuple((f"{name} {value:.3f}", value) for name, value in sorted(known, key=lambda level: -level[1]))
    return (Panel("retrieval", "Zero-shot retrieval", lines, levels=levels, levels_of="Recall@10"),)


SECTION = Section(
    "retrieval",
    "Retrieval",
    lambda page: Content(present(scores(page.inputs))),
    absent="not evaluated",
    tasks=(TASK,),
    rank=3,
    key_figures=(KeyFigure("Recall@10", lambda run: run.over_checkpoints(TASK, "recall_at_10")),),
    overview=tuple(Score(TASK, metric, SCORES[metric]) for metric in ("ndcg_at_10", "recall_at_10", "mrr_at_10")),
    dynamics=task_columns(TASK, ASPECTS, {"recall_at_10": "Recall@10", "mrr_at_10": "MRR@10"}, always=True),
    steps=over_steps,
    steps_in_print=True,
)
