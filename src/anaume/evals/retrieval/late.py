"""A late-interaction model (ColBERT) and a collection → the record of its scores by MaxSim.

Embeddings and MaxSim are sentence-transformers' own. The rule: documents are embedded block by block, because the
vectors of all tokens of a corpus would not fit in memory.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor

from anaume.encoder.load import Encoder
from anaume.encoder.tokenize import tokenize
from anaume.evals.record import Record
from anaume.evals.retrieval.collection import Collection
from anaume.evals.retrieval.evaluate import measure, record_of
from anaume.evals.retrieval.ranking import Block, slices
from anaume.progress import bar

if TYPE_CHECKING:  # takes seconds to import
    from sentence_transformers import MultiVectorEncoder

DOCUMENTS_AT_ONCE = 1_024  # 400 MB for documents of 800 tokens, with 128 dimensions


def evaluate_late(
    network: "MultiVectorEncoder",
    encoder: Encoder,
    collection: Collection,
    *,
    query_prefix: str = "",
    positive_prefix: str = "",
    seed: int = 0,
) -> Record:
    """Measure retrieval by MaxSim; `encoder` is the opened folder of `network`, with its name and tokenizer.

    An empty prefix means the prompt of the folder.
    """
    encode_query = partial(network.encode_query, prompt=query_prefix or None, show_progress_bar=False)
    encode_document = partial(network.encode_document, prompt=positive_prefix or None, show_progress_bar=False)
    limited = replace(encoder, max_length=network.max_seq_length or encoder.max_length)
    queries: Any = encode_query(list(collection.queries))
    settings: dict[str, Any] = {
        "pooling": f"sentence-transformers: {', '.join(type(module).__name__ for module in network)}",
        "similarity": network.similarity_fn_name,
        "max_length": limited.max_length,
        "truncated_queries": tokenize(limited, collection.queries).truncated,
        "truncated_documents": 0,
        "query_prefix": query_prefix or network.prompts.get("query") or "",
        "positive_prefix": positive_prefix or network.prompts.get("document") or "",
    }

    def blocks() -> Iterator[Block]:
        with bar(f"{encoder.name}: embeddings", len(collection.documents)) as advance:
            for part in slices(0, len(collection.documents), DOCUMENTS_AT_ONCE):
                texts = list(collection.documents[part])
                settings["truncated_documents"] += tokenize(limited, texts).truncated
                yield Block(part, partial(_similarities, network, queries, encode_document(texts)))
                advance(len(texts))

    return record_of(encoder.name, collection, measure(collection, blocks()), settings, seed)


def _similarities(network: "MultiVectorEncoder", queries: Any, documents: Any, rows: slice) -> Tensor:
    return network.similarity(queries[rows], documents).double().cpu()
