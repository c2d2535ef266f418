"""A folder that is being exported → the same folder with card, evaluation results, recipe and report.

The rule: a README.md that the user wrote, or changed since an export wrote it, stays as it is.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import eval_result_entries_to_yaml
from transformers import ModernBertForMaskedLM

from anaume.evals.record import Record
from anaume.export.checkpoint import Addition, export
from anaume.files import sha256, write_atomic
from anaume.files.outputs import read_mark
from anaume.progress import say
from anaume.publish.card import card_text
from anaume.publish.eval_results import benchmark_entries
from anaume.publish.facts import read_facts
from anaume.recipe import to_toml
from anaume.run import CheckpointName, Run

CARD = "README.md"
EVAL_RESULTS = Path(".eval_results", "jglue.yaml")
# The fact in the folder's mark by which a changed card is known.
_CHECKSUM = "card_sha256"


def publish(
    run: Run,
    checkpoint: CheckpointName,
    out: Path,
    average: int = 1,
    license: str = "",
    additions: Sequence[Addition] = (),
) -> Path:
    """Export a checkpoint to `out` with everything that the Hub shows, and return `out`. `license` may be empty.

    Raises:
        UserError: see `export`; an addition fails.
    """

    def add_card(_network: ModernBertForMaskedLM, folder: Path) -> dict[str, Any]:
        return _write_card(run, checkpoint, average, folder, out, license)

    return export(run, checkpoint, out, average, [*additions, add_card])


def _write_card(
    run: Run, checkpoint: CheckpointName, average: int, folder: Path, out: Path, license: str
) -> dict[str, Any]:
    """Complete `folder`, which will become `out`, and return the facts for its mark."""
    facts = read_facts(run, checkpoint, average, folder, license)
    write_atomic(folder / "recipe.toml", to_toml(facts.recipe))
    write_results(folder, facts.records)
    report = _copy_report(run, folder / "report")
    mark = read_mark(out)
    before = out / CARD
    if before.is_file() and sha256(before) != mark.get(_CHECKSUM):
        say(f"{before}: kept, because you wrote or changed it; without it the card is written anew")
        if CARD in mark.get("files", []):
            shutil.copy2(before, folder / CARD)
        return {_CHECKSUM: mark[_CHECKSUM]} if _CHECKSUM in mark else {}
    write_atomic(folder / CARD, card_text(facts, report=report))
    return {_CHECKSUM: sha256(folder / CARD)}


def write_results(folder: Path, records: Sequence[Record]) -> None:
    """Write `.eval_results/jglue.yaml` into a folder, if the records hold results of a benchmark on the Hub."""
    if entries := benchmark_entries(records):
        write_atomic(
            folder / EVAL_RESULTS,
            yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True),
        )


def _copy_report(run: Run, target: Path) -> bool:
    """Copy the files that `anaume report` wrote into the run; whether there are any."""
    files = [name for name in read_mark(run.report).get("files", []) if (run.report / name).is_file()]
    for name in files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(run.report / name, target / name)
    return bool(files)
