"""Runs → `paper.md`: the verdicts, then the paper's tables and figures beside ours.

The rule: every number on the page is a constant of `paper.py`, or comes from the records, recipes and metrics of the
runs; the page can be written again at any time.
"""

from collections.abc import Sequence
from pathlib import Path

from anaume import __version__
from anaume.errors import UserError
from anaume.files.outputs import replace_files
from anaume.formats import duration, join_words
from anaume.report.inputs import ReportInput, read_inputs
from anaume.report.page import write_report
from anaume.report.tables import Table, markdown
from anaume.reproduce import paper, tables
from anaume.reproduce.verdicts import FINDINGS, Finding, over_seeds

PAGE = "paper.md"
# Print figures of the report that correspond to the paper's: title, and the stem of the file.
FIGURES = (
    ("Figure 1. Loss, accuracy and retrieval over the steps", "figure-1-training"),
    ("Figure 2. Pseudo-perplexity by length", "figure-2-pseudo-perplexity"),
    ("Figure 3. Alignment and uniformity", "figure-3-alignment-uniformity"),
    ("Figure 4. Similarities of positive and random pairs", "figure-4-similarities"),
    ("Figure 5. Lengths of the documents", "figure-5-lengths"),
)


def write_page(folders: Sequence[Path], out: Path) -> Path:
    """Write `out/paper.md`, and the report that it takes its figures from into `out/report`; return the page.

    Several runs of different seeds give verdicts over the seeds, and tables for each.

    Raises:
        UserError: a folder is no run with records, or files of another origin are in the way.
    """
    runs = [_read(folder) for folder in folders]
    report = write_report(folders, out / "report").parent
    figures = {stem: sorted((report / "figures").glob(f"{stem}*.png")) for _, stem in FIGURES}
    replace_files(out, "reproduce", {PAGE: _text(runs, figures)})
    return out / PAGE


def _read(folder: Path) -> ReportInput:
    run, *_ = read_inputs([folder])  # a folder of records of several runs has no recipe
    if not (run.checkpoints and run.recipe.get("stage")):
        raise UserError(f"{folder}: no evaluated run; expected a folder that `anaume reproduce` wrote")
    return run


def _text(runs: Sequence[ReportInput], figures: dict[str, list[Path]]) -> str:
    parts = [
        "# The paper in miniature",
        f"{_subject(runs)} Beside it stand the numbers of the paper ({paper.SOURCE}). Written by anaume {__version__} "
        "from the records of the runs alone; `report/index.html` has everything else that was measured.",
        "## What was found",
        _verdicts(runs),
        *(f"**{f.title}** ({f.place}). {f.criterion}\n\n{_evidence(f, runs)}" for f in FINDINGS),
        "A difference is clear if it is more than twice its standard error.",
        "## Tables",
        *(f"### {title}\n\n{markdown(table).strip()}" for title, table in _tables(runs)),
        "## Figures",
        *(_figure(title, figures[stem]) for title, stem in FIGURES),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _subject(runs: Sequence[ReportInput]) -> str:
    """What was trained, on what, with which seeds, and how long it took."""
    run = runs[0]
    seeds = [str(entry.recipe.get("seed", "unknown")) for entry in runs]
    steps = [int(stage["steps"]) for stage in run.recipe["stage"]]
    size = run.manifest.get("parameters", 0) / 1e6
    share = steps[-1] / sum(steps)
    tokens = max((last.get("tokens", 0) for last in run.last_lines.values()), default=0) / 1e6
    return (
        f"A network of {size:.1f} million parameters read {tokens:.1f} million tokens in "
        f"{join_words(tables.stage_words(run))} ({share:.1%} of the steps in the last stage; 28.6% in the paper). "
        f"Seed: {', '.join(seeds)}. Training took about {duration(tables.seconds_of(run))}."
    )


def _verdicts(runs: Sequence[ReportInput]) -> str:
    rows = [f"| {f.title} | {over_seeds([f.decide(run) for run in runs]).answer} |" for f in FINDINGS]
    return "\n".join(["| The paper's finding | Here |", "| --- | --- |", *rows])


def _evidence(finding: Finding, runs: Sequence[ReportInput]) -> str:
    verdict = over_seeds([finding.decide(run) for run in runs])
    return f"*{verdict.answer.capitalize()}*: {verdict.evidence}."


def _tables(runs: Sequence[ReportInput]) -> list[tuple[str, Table]]:
    several = len(runs) > 1
    named = [
        ("Table 1. Training", tables.training),
        ("Table 2. JGLUE", tables.jglue),
        ("Table 3. Fill-mask", tables.fill_mask),
        ("Table 4. Retrieval", tables.retrieval),
        ("What was measured", tables.amounts),
    ]
    return [
        (f"{title}, run {number}" if several else title, table)
        for title, make in named
        for number, run in enumerate(runs, 1)
        if (table := make(run)) is not None
    ]


def _figure(title: str, files: Sequence[Path]) -> str:
    if not files:
        return f"**{title}**: not measured"
    return "\n\n".join([f"**{title}**", *(f"![{title}](report/figures/{file.name})" for file in files)])
