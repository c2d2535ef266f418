"""Evaluation records → results in the Hub's two forms: `model-index` of a card, and `.eval_results/*.yaml`.

`model-index` holds every finite number. The newer form names a data set on the Hub, so it holds only the main score of
tasks whose files have the checksums that their authors published and that are a data set there: JGLUE and JCoLA.
"""

from collections.abc import Sequence
from typing import Any

from huggingface_hub import EvalResult, EvalResultEntry

from anaume.evals.jglue.tasks import PUBLISHED, TASKS
from anaume.evals.record import Record
from anaume.formats import one_line
from anaume.publish.facts import finite_metrics

# The data set of JGLUE and JCoLA on the Hub, and its names of the tasks.
JGLUE = "shunk031/JGLUE"
SUBSETS = {
    "jsts": "JSTS",
    "jnli": "JNLI",
    "jcola": "JCoLA",
    "jsquad": "JSQuAD",
    "jcommonsenseqa": "JCommonsenseQA",
}
# The Hub's name of each task's kind. Tasks that are not listed score the masked-LM head.
KINDS = {
    "retrieval": "feature-extraction",
    "geometry": "sentence-similarity",
    "jsts": "sentence-similarity",
    "jnli": "text-classification",
    "jcola": "text-classification",
    "marc-ja": "text-classification",
    "jsquad": "question-answering",
    "jcommonsenseqa": "multiple-choice",
    "ner": "token-classification",
}


def model_index(records: Sequence[Record]) -> list[EvalResult]:
    """Every finite metric of the records, for the metadata of a card."""
    return [
        EvalResult(
            task_type=KINDS.get(record.task, "fill-mask"),
            task_name=one_line(record.task),
            metric_type=one_line(name),
            metric_name=one_line(name),
            metric_value=value,
            **_data_set(record),
        )
        for record in records
        for name, value in finite_metrics(record).items()
    ]


def benchmark_entries(records: Sequence[Record]) -> list[EvalResultEntry]:
    """The main score of each record of a benchmark that is a data set on the Hub, for `.eval_results/jglue.yaml`."""
    entries = []
    for record in records:
        value = finite_metrics(record).get(TASKS[record.task].metric) if is_published(record) else None
        if value is not None:
            protocol = one_line(record.settings.get("protocol", "unknown"))
            notes = f"{TASKS[record.task].metric} on the validation split, fine-tuned, protocol {protocol}"
            entries.append(EvalResultEntry(JGLUE, SUBSETS[record.task], value, notes=notes))
    return entries


def is_published(record: Record) -> bool:
    """Whether a record is of a task of JGLUE or JCoLA on the files that the authors published.

    A file without a published checksum, such as JSQuAD's training split, does not count.
    """
    files = record.settings.get("files", {})
    known = {name: checksum for name, checksum in files.items() if name in PUBLISHED}
    return record.task in SUBSETS and bool(known) and all(PUBLISHED[name] == known[name] for name in known)


def _data_set(record: Record) -> dict[str, Any]:
    """The data set of a record: the Hub's id where it is one, otherwise "unknown" with the name of the user's file."""
    if is_published(record):
        return {
            "dataset_type": JGLUE,
            "dataset_name": SUBSETS[record.task],
            "dataset_config": SUBSETS[record.task],
            "dataset_split": "validation",
        }
    name = record.settings.get("data") or record.settings.get("texts") or record.task
    # The Hub joins results of equal kind, data set and configuration, so the task stands in for the configuration.
    return {"dataset_type": "unknown", "dataset_name": one_line(name), "dataset_config": one_line(record.task)}
