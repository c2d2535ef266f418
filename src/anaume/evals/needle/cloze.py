"""The cloze of the fact: a rate of right first guesses for each length and depth, and without the needles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from anaume.encoder.load import Encoder, special_ids
from anaume.encoder.logits import logits_at
from anaume.evals.blanks import MaskedRow, answer_ids, careful
from anaume.evals.fill_mask import rank_of, same_spelling
from anaume.evals.inputs.cloze import PLACEHOLDER
from anaume.evals.needle.cells import DEPTHS, DepthScore
from anaume.evals.needle.facts import Needle, draw_facts, kinds
from anaume.evals.needle.haystack import bury, costs, longest_that_fits
from anaume.progress import bar


@dataclass(frozen=True)
class Asked:
    """A document's fact at a depth, in the order of the questions.

    `masks`    number of masks in its question
    `targets`  for each mask the ids that are right; None if the vocabulary can't spell the value
    """

    depth: float
    masks: int
    targets: tuple[tuple[int, ...], ...] | None


def measure_cloze(
    encoder: Encoder, fillers: Sequence[Sequence[str]], lengths: Sequence[int], place: str, seed: int
) -> list[DepthScore]:
    """Return the cells of "cloze", and those of "without_needle" (the same questions, no fact in the document).

    Document i has a fact of kind i at every depth.
    """
    random = Random(f"needle cloze {seed}")
    rows: list[MaskedRow] = []
    labels: list[tuple[str, int, list[Asked]]] = []
    for number, filler in enumerate(fillers):
        facts = draw_facts(kinds()[number % len(kinds())], len(DEPTHS), random)
        order = random.sample(list(zip(DEPTHS, facts, strict=True)), len(facts))
        blanks = [_asked(encoder, depth, fact) for depth, fact in order]
        questions = "".join(fact.question for _, fact in order)
        tokens = costs(encoder.tokenizer, filler)
        statements = {depth: fact.statement for depth, fact in order}
        # A guess depends little on the length of the filler, so the control is measured at the shortest one.
        for test, needles, measured in (("cloze", statements, lengths), ("without_needle", {}, lengths[:1])):
            for length in measured:
                rows.append(_row(encoder, filler, tokens, needles, questions, blanks, length, place))
                labels.append((test, length, blanks))
    right: dict[tuple[str, int, float], list[bool]] = {}
    with bar(f"{encoder.name}: needle cloze", len(rows)) as advance:
        for index, logits in logits_at(encoder, [row.ids for row in rows], [row.positions for row in rows]):
            test, length, blanks = labels[index]
            vocabulary = logits[:, : len(encoder.tokenizer)]
            for item, scores in zip(blanks, vocabulary.split([item.masks for item in blanks]), strict=True):
                correct = item.targets is not None and rank_of(scores, item.targets) == 1
                right.setdefault((test, length, item.depth), []).append(correct)
            advance(1)
    return [
        DepthScore(test, length, depth, sum(hits) / len(hits), len(hits))
        for test in ("cloze", "without_needle")
        for length in lengths
        for depth in DEPTHS
        if (hits := right.get((test, length, depth)))
    ]


def _asked(encoder: Encoder, depth: float, fact: Needle) -> Asked:
    left = fact.question.split(PLACEHOLDER)[0]
    _, ids = answer_ids(encoder.tokenizer, left, fact.value)
    unspeakable = not ids or encoder.tokenizer.unk_token_id in ids
    targets = None if unspeakable else tuple(same_spelling(encoder.tokenizer, token) for token in ids)
    return Asked(depth, max(1, len(ids)), targets)


def _row(
    encoder: Encoder,
    filler: Sequence[str],
    tokens: Sequence[int],
    needles: Mapping[float, str],
    questions: str,
    blanks: Sequence[Asked],
    length: int,
    place: str,
) -> MaskedRow:
    shortened = replace(encoder, max_length=length)
    masks = [item.masks for item in blanks]

    def encode(count: int) -> MaskedRow | None:
        row = careful(shortened, bury(filler[:count], tokens[:count], needles) + questions, masks)
        return None if row.truncated else row

    # The blanks' placeholders are not the masks that they become, so their tokens are counted as such.
    around = costs(encoder.tokenizer, [*needles.values(), *questions.split(PLACEHOLDER)])
    room = length - sum(map(len, special_ids(encoder.tokenizer))) - sum(around) - sum(masks)
    return longest_that_fits(tokens, room, encode, place)
