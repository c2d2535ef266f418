"""The paper's findings as functions of a run's records: "reproduced", "not reproduced", "cannot be seen at this size".

The rule: a finding is a list of claims, each of them a difference and its standard error. A claim holds if the
difference is more than `CLEAR` errors above zero, and fails if it is as far below. A finding is reproduced if all its
claims hold, and not reproduced if one of them fails.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from anaume.report.inputs import ReportInput
from anaume.reproduce import evidence
from anaume.reproduce.evidence import LONG, Point, mean_and_error

REPRODUCED, NOT_REPRODUCED, UNSEEN = "reproduced", "not reproduced", "cannot be seen at this size"
CLEAR = 2.0  # standard errors
FEWEST = 10  # documents of a group; fewer say nothing about its mean
# Share of the steps of stage 1 by which JGLUE has stopped improving, and from which the embeddings are followed: in the
# paper JGLUE is highest at a tenth (50,000 steps), and retrieval falls from there.
EARLY, FOLLOWED_FROM = 0.4, 0.1
# Records of the lexical baselines that are likely the paper's.
EDIT, JACCARD = "edit-distance-raw", "jaccard-spaces"


@dataclass(frozen=True)
class Claim:
    """A difference that the finding says is above zero, its standard error, and the numbers in words."""

    difference: float
    error: float
    numbers: str

    @property
    def holds(self) -> bool | None:
        """None where the difference is within the error."""
        if not math.isfinite(self.difference) or abs(self.difference) <= CLEAR * self.error:
            return None
        return self.difference > 0


@dataclass(frozen=True)
class Verdict:
    """An answer and the numbers that decided it."""

    answer: str
    evidence: str


@dataclass(frozen=True)
class Finding:
    """What the paper found, where, how it is decided here, and the function that decides it for a run."""

    title: str
    place: str
    criterion: str
    decide: Callable[[ReportInput], Verdict]


def judged(claims: Sequence[Claim], missing: str) -> Verdict:
    """The verdict of claims; `missing` is the evidence where there are none."""
    if not claims:
        return Verdict(UNSEEN, missing)
    answers = [claim.holds for claim in claims]
    answer = NOT_REPRODUCED if False in answers else UNSEEN if None in answers else REPRODUCED
    return Verdict(answer, "; ".join(claim.numbers for claim in claims))


def over_seeds(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of several runs: that of all, or none where they differ."""
    if len(verdicts) == 1:
        return verdicts[0]
    counts = {answer: [v.answer for v in verdicts].count(answer) for answer in (REPRODUCED, NOT_REPRODUCED, UNSEEN)}
    answer = next((answer for answer, count in counts.items() if count == len(verdicts)), UNSEEN)
    tally = ", ".join(f"{count} × {name}" for name, count in counts.items() if count)
    return Verdict(answer, " · ".join([tally, *(f"run {i}: {v.evidence}" for i, v in enumerate(verdicts, 1))]))


def rise(before: Point, after: Point, name: str, digits: int = 3) -> Claim:
    """The claim that a value rises from one checkpoint to another."""
    error = math.hypot(before.error, after.error)
    numbers = f"{name} {before.value:.{digits}f} ({before.moment}) → {after.value:.{digits}f} ({after.moment})"
    return Claim(after.value - before.value, error, f"{numbers}, error of the difference {error:.{digits}f}")


def fall(before: Point, after: Point, name: str, digits: int = 3) -> Claim:
    """The claim that a value falls from one checkpoint to another."""
    claim = rise(before, after, name, digits)
    return Claim(-claim.difference, claim.error, claim.numbers)


def improves_throughout(run: ReportInput) -> Verdict:
    """Loss falls and accuracy rises over stage 1, and no checkpoint is clearly worse than the one before."""
    claims: list[Claim] = []
    for metric, better in (("loss", fall), ("accuracy", rise)):
        points = evidence.stage1(run, "validation", metric)
        if len(points) < 3:
            return judged((), "fewer than three checkpoints have a validation loss")
        steps = [better(before, after, metric) for before, after in pairwise(points)]
        claims += [better(points[0], points[-1], metric), *(step for step in steps if step.holds is False)]
    return judged(claims, "")


def retrieval_rises_and_falls(run: ReportInput) -> Verdict:
    """Recall@10 has its peak before the end of stage 1, clearly above the start and clearly above the end."""
    points = evidence.stage1(run, "retrieval", "recall_at_10")
    if len(points) < 3:
        return judged((), "fewer than three checkpoints have retrieval")
    peak = max(points, key=lambda point: point.value)
    if peak is points[-1]:
        # The highest value comes last: it has not fallen, if it is clearly above what came before.
        rest = max(points[:-1], key=lambda point: point.value)
        return judged([rise(points[0], peak, "Recall@10"), fall(rest, peak, "Recall@10")], "")
    return judged([rise(points[0], peak, "Recall@10"), fall(peak, points[-1], "Recall@10")], "")


def jglue_stops_before_the_loss(run: ReportInput) -> Verdict:
    """JGLUE is no better at the end of stage 1 than at the best early checkpoint, from which the loss falls clearly.

    A gain of JGLUE after that checkpoint that is clear makes the finding fail. JGLUE has to have risen clearly by then.
    """
    scores = [point for point in evidence.jglue(run) if point.share <= 1]
    losses = {point.share: point for point in evidence.stage1(run, "validation", "loss")}
    early = [point for point in scores if 0 < point.share <= EARLY and point.share in losses]
    if not early or scores[-1].share < 1 or 1.0 not in losses or scores[0].share > 0:
        return judged((), "JGLUE or the loss lacks the start, an early checkpoint or the end of stage 1")
    best = max(early, key=lambda point: point.value)
    later = rise(best, scores[-1], "JGLUE")
    claims = [rise(scores[0], best, "JGLUE"), fall(losses[best.share], losses[1.0], "loss")]
    if later.holds:
        return judged([*claims, Claim(-later.difference, later.error, later.numbers)], "")
    # No clear gain: a sign that it stopped, if a tenth of the rise so far would have been a clear gain.
    unseen = Claim(0.1 * (best.value - scores[0].value), later.error / CLEAR, later.numbers)
    return judged([*claims, unseen], "")


def stage2_helps_long_texts(run: ReportInput) -> Verdict:
    """On the same long documents the loss is lower after stage 2, where it still is higher than on shorter ones."""
    models = evidence.checkpoints(run)
    ends = [[model for model in models if model.stage == stage][-1:] for stage in (run.stages[0], run.stages[-1])]
    if len(run.stages) < 2 or not all(ends):
        return judged((), "no end of a stage was evaluated")
    before, after = (evidence.documents(end[0]) for end in ends)
    if len(before.tokens) != len(after.tokens) or np.any(before.tokens != after.tokens):
        return judged((), "the stages were measured on different documents")
    lower = before.between(LONG, math.inf) - after.between(LONG, math.inf)
    short, long = after.between(0, LONG), after.between(LONG, math.inf)
    if min(len(short), len(long)) < FEWEST:
        return judged((), f"{len(short)} documents up to {LONG:,} tokens and {len(long)} longer ones; {FEWEST} needed")
    gain, gain_error = mean_and_error(lower)
    (near, near_error), (far, far_error) = mean_and_error(short), mean_and_error(long)
    longest = after.tokens.max()
    return judged(
        [
            Claim(
                gain,
                gain_error,
                f"pseudo-perplexity of {len(long)} documents of {LONG:,} to {longest:,.0f} tokens "
                f"{math.exp(far + gain):.3g} → {math.exp(far):.3g}, difference of the log {gain:.3f} ± "
                f"{gain_error:.3f}",
            ),
            Claim(
                far - near,
                math.hypot(near_error, far_error),
                f"after stage 2 {math.exp(near):.3g} on {len(short)} shorter documents and {math.exp(far):.3g} on the "
                f"longer, difference of the log {far - near:.3f} ± {math.hypot(near_error, far_error):.3f}",
            ),
        ],
        "",
    )


def _followed(run: ReportInput, metric: str) -> tuple[Point, Point] | None:
    """The points of a metric of the geometry from which it is followed, and at the end of stage 1."""
    points = [point for point in evidence.stage1(run, "geometry", metric) if point.share >= FOLLOWED_FROM - 0.01]
    return (points[0], points[-1]) if len(points) > 1 else None


def alignment_falls_uniformity_rises(run: ReportInput) -> Verdict:
    """From a tenth of stage 1 to its end, alignment falls and uniformity rises."""
    ends = {metric: _followed(run, metric) for metric in ("alignment", "uniformity")}
    claims = [
        (fall if metric == "alignment" else rise)(*pair, metric) for metric, pair in ends.items() if pair is not None
    ]
    return judged(claims, "fewer than two checkpoints from a tenth of stage 1 on have a geometry")


def similarities_collapse(run: ReportInput) -> Verdict:
    """From a tenth of stage 1 to its end, the mean cosines of positive and of random pairs rise."""
    ends = {metric: _followed(run, metric) for metric in ("positive_mean", "random_mean")}
    claims = [rise(*pair, f"mean cosine, {metric[:-5]}") for metric, pair in ends.items() if pair is not None]
    return judged(claims, "fewer than two checkpoints from a tenth of stage 1 on have a geometry")


def order_of_baselines(run: ReportInput) -> Verdict:
    """At the end the model is above edit distance, and edit distance above Jaccard."""
    points = evidence.moments(run, "retrieval", "recall_at_10")
    names = {EDIT: "edit distance, not normalised", JACCARD: "Jaccard over words between spaces"}
    baselines = {
        record.model: evidence.point_of(record, "recall_at_10")
        for model in run.others
        for record in model.records.values()
        if record.model in names
    }
    if not points or len(baselines) < len(names):
        return judged((), "retrieval or its baselines were not measured")
    edit, jaccard = baselines[EDIT], baselines[JACCARD]
    model = points[-1]

    def above(first: Point, second: Point, numbers: str) -> Claim:
        return Claim(first.value - second.value, math.hypot(first.error, second.error), numbers)

    return judged(
        [
            above(model, edit, f"Recall@10 {model.value:.3f} ({model.moment}), {names[EDIT]} {edit.value:.3f}"),
            above(edit, jaccard, f"{names[JACCARD]} {jaccard.value:.3f}, errors up to {edit.error:.3f}"),
        ],
        "",
    )


FINDINGS = (
    Finding(
        "Loss and accuracy improve throughout",
        "Figure 1",
        "Over stage 1 the loss falls and the accuracy rises; no checkpoint is clearly worse than the one before.",
        improves_throughout,
    ),
    Finding(
        "Retrieval rises early and falls",
        "Figure 1",
        "Recall@10 is highest before the end of stage 1, clearly above step 0 and clearly above the end.",
        retrieval_rises_and_falls,
    ),
    Finding(
        "JGLUE stops improving long before the loss",
        "Table 2",
        f"From the best checkpoint of the first {EARLY:.0%} of stage 1 to its end, the mean of the tasks does not rise "
        "clearly, though a tenth of its rise until then would be clear, and the loss falls clearly.",
        jglue_stops_before_the_loss,
    ),
    Finding(
        "Stage 2 lowers pseudo-perplexity on long texts, but it still grows with length",
        "Figure 2",
        f"On the same documents of more than {LONG:,} tokens it is lower after stage 2; after stage 2 it is higher on "
        f"them than on shorter ones. At least {FEWEST} documents of either kind.",
        stage2_helps_long_texts,
    ),
    Finding(
        "Alignment falls while uniformity rises",
        "Figure 3",
        f"Both between {FOLLOWED_FROM:.0%} and the end of stage 1.",
        alignment_falls_uniformity_rises,
    ),
    Finding(
        "The distributions of similarities collapse to the right",
        "Figure 4",
        f"The mean cosines of positive and of random pairs rise between {FOLLOWED_FROM:.0%} and the end of stage 1.",
        similarities_collapse,
    ),
    Finding(
        "The model is above edit distance, and edit distance above Jaccard",
        "Table 4",
        "Recall@10 at the end of training; the baselines are those that fit the paper's values best: edit distance "
        "not normalised, Jaccard over words between spaces.",
        order_of_baselines,
    ),
)
