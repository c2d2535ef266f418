"""JGLUE's JNLI and JSTS, and pairs of texts → the training sets of contrastive fine-tuning.

The rule: of JGLUE, only examples of the training splits are used.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from anaume.errors import UserError
from anaume.evals.inputs.pairs import Pair
from anaume.evals.jglue.read import MAX_SIMILARITY, read_task
from anaume.evals.jglue.tasks import TASKS
from anaume.files import sha256
from anaume.finetune.contrast.sets import NEGATIVE, Columns, TrainingSets
from anaume.finetune.examples import Example


def read_sets(
    nli: Path | None = None,
    sts: Path | None = None,
    pairs: Sequence[Pair] = (),
    pairs_file: Path | None = None,
    negatives: int = 1,
) -> TrainingSets:
    """Read the training split of JNLI in the JGLUE folder `nli` and that of JSTS in `sts`, and add `pairs`.

    `pairs_file` is the file of the pairs. `negatives` is the highest number of hard negatives of a row.

    Raises:
        UserError: there is nothing to train on; a missing split, an empty text, a label out of range; no entailment.
    """
    rows: dict[str, Columns] = {}
    checksums: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    for folder, task in ((nli, TASKS["jnli"]), (sts, TASKS["jsts"])):
        if folder:
            data = read_task(task, folder)
            examples = data.splits["train"]
            rows |= from_nli(examples, task.classes) if task.classes else from_sts(examples)
            checksums |= data.sha256
            notes += data.notes
    if pairs:
        rows |= from_pairs(pairs, negatives)
    if pairs_file:
        checksums[pairs_file.name] = sha256(pairs_file)
    if not rows:
        raise UserError("nothing to train on; expected one or more of --nli, --sts, --pairs")
    return TrainingSets(rows, checksums, notes)


def from_pairs(pairs: Sequence[Pair], negatives: int = 1) -> dict[str, Columns]:
    """Return the pairs, in a set for each number of hard negatives: the rows of a batch have equal columns.

    Positives of other pairs with the same query are no negatives, and are left out.
    """
    positives = positives_of(pairs)
    rows: dict[str, Columns] = {}
    for pair in pairs:
        hard = [text for text in dict.fromkeys(pair.negatives) if text not in positives[pair.query]][:negatives]
        name = f"pairs with {len(hard)} hard negative{'s' * (len(hard) > 1)}" if hard else "pairs"
        names = [NEGATIVE, *(f"{NEGATIVE}_{number}" for number in range(2, len(hard) + 1))][: len(hard)]
        texts = {"anchor": pair.query, "positive": pair.positive, **dict(zip(names, hard, strict=True))}
        columns = rows.setdefault(name, {column: [] for column in texts})
        for column, text in texts.items():
            columns[column].append(text)
    return rows


def positives_of(pairs: Sequence[Pair]) -> dict[str, set[str]]:
    """Query → all its positives."""
    positives: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        positives[pair.query].add(pair.positive)
    return positives


def from_nli(examples: Sequence[Example], classes: Sequence[str]) -> dict[str, Columns]:
    """Return pairs of a premise and an entailed hypothesis, and triplets with a contradicting hypothesis too.

    Supervised SimCSE (Gao and others 2021, section 4) trains on such triplets. In JNLI, hardly any premise has both, so
    premises without a contradiction form a set of their own, whose only negatives are the other rows of a batch.

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
    sets = {"nli": without, "nli with contradictions": with_negative}
    if not any(columns["anchor"] for columns in sets.values()):
        raise UserError("--nli: no example is an entailment; expected at least one")
    return {name: columns for name, columns in sets.items() if columns["anchor"]}


def from_sts(examples: Sequence[Example]) -> dict[str, Columns]:
    """Return rows of two sentences and their similarity, scaled to [0, 1]."""
    return {
        "sts": {
            "sentence1": [example.texts[0] for example in examples],
            "sentence2": [example.texts[1] for example in examples],
            "score": [example.label / MAX_SIMILARITY for example in examples],
        }
    }
