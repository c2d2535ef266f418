"""Retrieval of the document with the needle: a rank-one rate for each length and depth, beside a bag of tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

import torch
from torch import Tensor

from anaume.encoder.embed import embed, unit_length
from anaume.encoder.load import Encoder, special_ids
from anaume.encoder.pooling import Pooling
from anaume.encoder.tokenize import tokenize
from anaume.evals.lexical import bm25
from anaume.evals.lexical.units import units_of
from anaume.evals.needle.cells import DEPTHS, DepthScore
from anaume.evals.needle.facts import Needle, draw_facts, kinds
from anaume.evals.needle.haystack import bury, costs, longest_that_fits

TOLERANCE = 1e-9  # a wrong document as similar as the right one, within this distance, ranks before it


def measure_retrieval(
    encoder: Encoder, fillers: Sequence[Sequence[str]], lengths: Sequence[int], pooling: Pooling, place: str, seed: int
) -> list[DepthScore]:
    """Return the cells of "retrieval" and "bag_of_words".

    Document i holds the same facts at every length, so the same queries are asked.
    """
    facts = _facts(len(fillers), Random(f"needle retrieval {seed}"))
    tokens = [costs(encoder.tokenizer, filler) for filler in fillers]
    texts = [
        _document(encoder, filler, cost, by_depth, length, pooling, place)
        for length in lengths
        for filler, cost, by_depth in zip(fillers, tokens, facts, strict=True)
    ]
    queries = [by_depth[depth].query for depth in DEPTHS for by_depth in facts]
    query_vectors = unit_length(embed(encoder, queries, pooling=pooling, prompt=pooling.query))
    text_vectors = unit_length(embed(encoder, texts, pooling=pooling, prompt=pooling.document))
    cells: list[DepthScore] = []
    for number, length in enumerate(lengths):
        documents = slice(number * len(facts), (number + 1) * len(facts))
        by_test = {
            "retrieval": query_vectors @ text_vectors[documents].T,
            "bag_of_words": _bag_of_words(encoder, queries, texts[documents]),
        }
        for test, similarities in by_test.items():
            of_depths = zip(DEPTHS, similarities.split(len(facts)), strict=True)
            cells += [DepthScore(test, length, depth, _first(block), len(facts)) for depth, block in of_depths]
    return cells


def _facts(documents: int, random: Random) -> list[dict[float, Needle]]:
    """Return the facts of each document by depth: one of each kind, each kind at another depth in the next document."""
    by_kind = [draw_facts(kind, documents, random) for kind in kinds()]
    return [
        {depth: by_kind[(place + number) % len(by_kind)][number] for place, depth in enumerate(DEPTHS)}
        for number in range(documents)
    ]


def _document(
    encoder: Encoder,
    filler: Sequence[str],
    tokens: Sequence[int],
    facts: Mapping[float, Needle],
    length: int,
    pooling: Pooling,
    place: str,
) -> str:
    shortened, prompt = replace(encoder, max_length=length), pooling.document
    statements = {depth: fact.statement for depth, fact in facts.items()}

    def encode(count: int) -> str | None:
        text = bury(filler[:count], tokens[:count], statements)
        return None if tokenize(shortened, [prompt + text]).truncated else text

    around = costs(encoder.tokenizer, [*statements.values(), prompt])
    room = length - sum(map(len, special_ids(encoder.tokenizer))) - sum(around)
    return longest_that_fits(tokens, room, encode, place)


def _first(similarities: Tensor) -> float:
    """Return the fraction of queries (rows) whose own document (column) is the most similar one."""
    right = similarities.diagonal()
    wrong = similarities.masked_fill(torch.eye(len(right), dtype=torch.bool), -torch.inf).amax(dim=1)
    return (right > wrong + TOLERANCE).double().mean().item()


def _bag_of_words(encoder: Encoder, queries: Sequence[str], texts: Sequence[str]) -> Tensor:
    """Return BM25's scores over the model's own tokens: (queries, texts)."""
    documents, questions = (units_of(part, "tokens", encoder.tokenizer) for part in (texts, queries))
    return torch.from_numpy(bm25.scores(bm25.index(documents), questions, slice(None)))
