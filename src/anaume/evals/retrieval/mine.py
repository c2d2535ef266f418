"""Pairs of texts → pairs with hard negatives: wrong answers that BM25 or the model itself ranks highest.

The candidates are the positives of all pairs. The rule: a known positive of a query is never its negative.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from anaume.encoder.load import load_encoder
from anaume.encoder.pooling import pooling_of
from anaume.errors import UserError
from anaume.evals.inputs.contrast_sets import positives_of
from anaume.evals.inputs.pairs import Pair
from anaume.evals.retrieval.collection import Collection, Positive
from anaume.evals.retrieval.evaluate import cosine_blocks, default_unit, lexical_blocks
from anaume.evals.retrieval.ranking import nearest


def with_mined(pairs: Sequence[Pair], miner: Literal["bm25", "model"], model: str, number: int) -> list[Pair]:
    """Add up to `number` mined negatives to the pairs' own, the most similar ones first.

    BM25 counts bigrams. `model` is a folder or Hub id, which embeds texts with its own pooling. A text that shares no
    bigram with the query is no negative of BM25.

    Raises:
        UserError: no pairs; the model can't be opened.
    """
    if not pairs:
        raise UserError(f"--mine {miner}: no pairs to mine from; expected --pairs")
    positives = positives_of(pairs)
    documents = list(dict.fromkeys(pair.positive for pair in pairs))
    index = {text: place for place, text in enumerate(documents)}
    answers = [[Positive(index[text], 1) for text in sorted(texts)] for texts in positives.values()]
    collection = Collection(list(positives), documents, answers)
    if miner == "bm25":
        blocks, _ = lexical_blocks("bm25", collection, default_unit("bm25", collection))
    else:
        encoder = load_encoder(model, masked_lm=False)
        blocks, _ = cosine_blocks(encoder, collection, pooling_of(model, "own", encoder.device))
    neighbours = nearest(blocks, answers, number)
    mined = {}
    for query, numbers, similarities in zip(
        positives, neighbours.numbers.tolist(), neighbours.wrong.tolist(), strict=True
    ):
        close = [n for n, s in zip(numbers, similarities, strict=True) if n >= 0 and (s > 0 or miner == "model")]
        mined[query] = [documents[n] for n in close]
    return [replace(pair, negatives=(*pair.negatives, *mined[pair.query])) for pair in pairs]
