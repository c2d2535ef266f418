"""JGLUE's JNLI and JSTS, and files of pairs → the training sets of contrastive fine-tuning.

The rule: only training splits are read.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from anaume.errors import UserError
from anaume.evals.inputs.pairs import read_pairs
from anaume.evals.jglue import tasks as jglue
from anaume.files import sha256
from anaume.finetune.contrast import Columns, TrainingSets
from anaume.finetune.examples import Example


def read_sets(nli: Path | None = None, sts: Path | None = None, pairs: Path | None = None) -> TrainingSets:
    """Read the training split of JNLI in the JGLUE folder `nli`, that of JSTS in `sts`, and the file `pairs`.

    Raises:
        UserError: none is given; a missing split, an empty text, a label out of range; no entailment.
    """
    rows: dict[str, Columns] = {}
    checksums: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    for folder, task in ((nli, jglue.TASKS["jnli"]), (sts, jglue.TASKS["jsts"])):
        if folder:
            data = jglue.read(task, folder)
            examples = data.splits["train"]
            rows |= from_nli(examples, task.classes) if task.classes else from_sts(examples)
            checksums |= data.sha256
            notes += data.notes
    if pairs:
        read = read_pairs(pairs)
        rows["pairs"] = {"anchor": [pair.query for pair in read], "positive": [pair.positive for pair in read]}
        checksums[pairs.name] = sha256(pairs)
    if not rows:
        raise UserError("nothing to train on; accepted: --nli, --sts and --pairs, one at least")
    return TrainingSets(rows, checksums, notes)


def from_nli(examples: Sequence[Example], classes: Sequence[str]) -> dict[str, Columns]:
    """Premises with what they entail and, where a premise has both, with what contradicts it.

    As supervised SimCSE does it (Gao and others 2021, section 4), which has both for each premise. In JNLI hardly a
    premise does, so those without are a set of their own, with the other rows of a batch as their only negatives.

    Raises:
        UserError: no example is an entailment.
    """
    by_class: dict[str, dict[str, list[str]]] = {name: defaultdict(list) for name in classes}
    for example in examples:
        premise, hypothesis = example.texts
        by_class[classes[int(example.label)]][premise].append(hypothesis)
    with_negative: Columns = {"anchor": [], "positive": [], "negative": []}
    without: Columns = {"anchor": [], "positive": []}
    for premise, entailed in by_class["entailment"].items():
        contradicting = by_class["contradiction"].get(premise, [])
        for number, hypothesis in enumerate(entailed):
            columns = with_negative if contradicting else without
            columns["anchor"].append(premise)
            columns["positive"].append(hypothesis)
            if contradicting:
                columns["negative"].append(contradicting[number % len(contradicting)])
    found = {"nli": without, "nli with contradictions": with_negative}
    if not any(columns["anchor"] for columns in found.values()):
        raise UserError("NLI: no example is an entailment, expected one at least")
    return {name: columns for name, columns in found.items() if columns["anchor"]}


def from_sts(examples: Sequence[Example]) -> dict[str, Columns]:
    """Two sentences and how similar they are, scaled to [0, 1]."""
    return {
        "sts": {
            "sentence1": [example.texts[0] for example in examples],
            "sentence2": [example.texts[1] for example in examples],
            "score": [example.label / jglue.MAX_SIMILARITY for example in examples],
        }
    }
