"""Findings on made-up records: each is reproduced, not reproduced and unseen where the numbers say so."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from anaume.evals.record import Record
from anaume.report.inputs import ReportInput
from anaume.reproduce import verdicts
from anaume.reproduce.verdicts import (
    FINDINGS,
    NOT_REPRODUCED,
    REPRODUCED,
    UNSEEN,
    Claim,
    Finding,
    Verdict,
    judged,
    over_seeds,
)

from .conftest import MakeRun

Decide = Callable[[ReportInput], Verdict]


def metric(task: str, stage: str, step: int, **values: float) -> Callable[[Record], Record]:
    """Change metrics of one record."""

    def change(record: Record) -> Record:
        if record.task == task and record.checkpoint == {"stage": stage, "step": step, "tokens": 1000 * step}:
            return replace(record, metrics=record.metrics | values)
        return record

    return change


def few(task: str, n: int) -> Callable[[Record], Record]:
    """Let the records of a task rest on n examples."""
    return lambda record: replace(record, n=n) if record.task == task else record


def without(task: str) -> Callable[[Record], Record]:
    """Take the metrics of a task away."""
    return lambda record: replace(record, metrics={}, details=[]) if record.task == task else record


def losses(stage: str, short: float, long: float) -> Callable[[Record], Record]:
    """Set the losses of the documents of pseudo-perplexity after a stage."""

    def change(record: Record) -> Record:
        if record.task != "pseudo-perplexity" or record.checkpoint["stage"] != stage:
            return record
        rows = [
            row | {"loss": (long if row["tokens"] > 1024 else short) + 0.01 * ((i + 2) % 5)}
            for i, row in enumerate(record.details)
        ]
        return replace(record, details=rows)

    return change


def cut(record: Record) -> Record:
    """Leave five long documents."""
    return replace(record, details=record.details[:25]) if record.task == "pseudo-perplexity" else record


@pytest.mark.parametrize("finding", FINDINGS, ids=[finding.decide.__name__ for finding in FINDINGS])
def test_the_papers_numbers_reproduce_each_finding(made_up: MakeRun, finding: Finding) -> None:
    verdict = finding.decide(made_up())
    assert verdict.answer == REPRODUCED, verdict.evidence


@pytest.mark.parametrize(
    ("decide", "change", "evidence"),
    [
        (
            verdicts.improves_throughout,
            metric("validation", "stage1", 400, loss=6.5),
            "loss 6.000 (10 % of stage 1) → 6.500 (40 % of stage 1)",
        ),
        (
            verdicts.retrieval_rises_and_falls,
            metric("retrieval", "stage1", 1000, recall_at_10=0.95),
            "0.800 (10 % of stage 1) → 0.950 (100 %",
        ),
        (
            verdicts.jglue_stops_before_the_loss,
            metric("jsts", "stage1", 1000, pearson=0.99),
            "JGLUE 0.850 (10 % of stage 1) → 0.897",
        ),
        (verdicts.stage2_helps_long_texts, losses("stage2", 2.0, 3.5), "difference of the log -0.500 ±"),
        (
            verdicts.stage2_helps_long_texts,
            losses("stage2", 2.6, 2.4),
            "after stage 2 13.7 on 20 shorter documents and 11.2 on the longer",
        ),
        (
            verdicts.alignment_falls_uniformity_rises,
            metric("geometry", "stage1", 1000, alignment=0.9),
            "alignment 0.800",
        ),
        (
            verdicts.similarities_collapse,
            metric("geometry", "stage1", 1000, random_mean=0.2),
            "mean cosine, random 0.400",
        ),
    ],
)
def test_a_contrary_number_decides_against(
    made_up: MakeRun, decide: Decide, change: Callable[[Record], Record], evidence: str
) -> None:
    verdict = decide(made_up(change))
    assert verdict.answer == NOT_REPRODUCED
    assert evidence in verdict.evidence


def test_a_weak_model_is_below_edit_distance(made_up: MakeRun) -> None:
    verdict = verdicts.order_of_baselines(made_up(metric("retrieval", "stage2", 400, recall_at_10=0.1)))
    assert verdict == Verdict(NOT_REPRODUCED, verdict.evidence)
    assert "Recall@10 0.100 (end of stage 2), edit distance, not normalised 0.300" in verdict.evidence


@pytest.mark.parametrize(
    ("decide", "change"),
    [
        (verdicts.improves_throughout, without("validation")),
        (verdicts.retrieval_rises_and_falls, few("retrieval", 4)),
        (verdicts.retrieval_rises_and_falls, without("retrieval")),
        (verdicts.jglue_stops_before_the_loss, few("jcola", 3)),
        (verdicts.jglue_stops_before_the_loss, without("validation")),
        (verdicts.stage2_helps_long_texts, cut),
        (verdicts.stage2_helps_long_texts, losses("stage2", 2.0, 3.0)),
        (verdicts.alignment_falls_uniformity_rises, without("geometry")),
        (verdicts.similarities_collapse, metric("geometry", "stage1", 1000, random_mean=0.4)),
        (verdicts.order_of_baselines, few("retrieval", 5)),
    ],
)
def test_what_is_within_the_error_cannot_be_seen(
    made_up: MakeRun, decide: Decide, change: Callable[[Record], Record]
) -> None:
    verdict = decide(made_up(change))
    assert verdict.answer == UNSEEN, verdict.evidence


def test_a_claim_needs_two_errors() -> None:
    assert [Claim(value, 1.0, "").holds for value in (2.1, 2.0, -2.0, -2.1, float("nan"))] == [
        True,
        None,
        None,
        False,
        None,
    ]
    holds, fails, unclear = Claim(3, 1, "a"), Claim(-3, 1, "b"), Claim(1, 1, "c")
    assert judged([holds, holds], "") == Verdict(REPRODUCED, "a; a")
    assert judged([holds, unclear], "").answer == UNSEEN
    assert judged([unclear, fails], "").answer == NOT_REPRODUCED
    assert judged([], "nothing") == Verdict(UNSEEN, "nothing")


def test_seeds_that_differ_decide_nothing() -> None:
    yes, no = Verdict(REPRODUCED, "a"), Verdict(NOT_REPRODUCED, "b")
    assert over_seeds([yes]) == yes
    assert over_seeds([yes, yes]) == Verdict(REPRODUCED, "2 × reproduced · run 1: a · run 2: a")
    assert over_seeds([yes, no, no]).answer == UNSEEN
    assert over_seeds([yes, no, no]).evidence.startswith("1 × reproduced, 2 × not reproduced · run 1: a")
