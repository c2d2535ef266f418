"""`anaume demo`: every step of the pipeline on the built-in corpus, with the settings of demo.toml beside this file."""

import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from anaume import recipe
from anaume.evals.evaluate import evaluate_run
from anaume.evals.record import load_record
from anaume.pretrain.loop import pretrain
from anaume.report.page import write_report
from anaume.run import Run

RECIPE = Path(__file__).with_name("demo.toml")

# What the summary shows: label, task, metric, and how to print it.
FIGURES = (
    ("validation loss, nats", "validation", "loss", "{:.3f}"),
    ("… on almanacs, over 1,024 tokens", "validation", "long_loss", "{:.3f}"),
    ("cloze questions right at the first guess", "fill-mask", "accuracy_at_1", "{:.1%}"),
    ("retrieval, Recall@10", "retrieval", "recall_at_10", "{:.1%}"),
    ("miniature JSTS, fine-tuned, Pearson", "jsts", "pearson", "{:.3f}"),
    ("miniature JNLI, fine-tuned, accuracy", "jnli", "accuracy", "{:.1%}"),
    ("miniature JCoLA, fine-tuned, accuracy", "jcola", "accuracy", "{:.1%}"),
)
# One training per task and checkpoint, and few masked positions, so that the demo takes minutes.
AMOUNTS = {"positions": 10, "learning_rates": "1e-3", "epochs": "3", "seeds": 1}


def demo(out: Path) -> None:
    """Text → tokenizer → tokens → two stages of training → exports → evaluations → report, in `out`."""
    start = time.monotonic()
    run = pretrain(recipe.load(RECIPE), out)
    evals = evaluate_run(out, {**AMOUNTS, "data": run.tasks})
    page = write_report([out], run.report)
    _summarise(run, evals, page, time.monotonic() - start)


def _cell(metrics: Mapping[str, float], name: str, form: str) -> str:
    """A metric, and its standard error where it has one."""
    values = [form.format(metrics[key]) for key in (name, f"{name}_error") if key in metrics]
    return " ± ".join(values) or "–"


def _summarise(run: Run, evals: Path, page: Path, seconds: float) -> None:
    names = run.checkpoints()
    ends = [
        name for name, after in zip(names, [*names[1:], None], strict=True) if not after or after.stage != name.stage
    ]
    shown = [names[0], *ends]
    table = Table(title="what it learned", title_justify="left")
    table.add_column("")
    for name in shown:
        table.add_column(f"{name.stage}\nstep {name.step:,}", justify="right")
    for label, task, metric, form in FIGURES:
        metrics = [load_record(evals / name.model / f"{task}.json").metrics for name in shown]
        table.add_row(label, *(_cell(values, metric, form) for values in metrics))
    console = Console()
    console.print(table)
    for kind in ("edit-distance", "jaccard"):
        console.print(f"{kind}: Recall@10 {load_record(evals / kind / 'retrieval.json').metrics['recall_at_10']:.1%}")
    console.print(f"{run.tokens_seen(names[-1]):,} tokens in {seconds / 60:.1f} minutes, all steps together")
    console.print(f"encoder: {run.export(names[-1])}", soft_wrap=True)
    console.print(f"report:  {page}", soft_wrap=True)
