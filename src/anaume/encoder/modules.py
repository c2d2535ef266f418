"""A folder or Hub id → a model of sentence-transformers, with one vector for a text or one for each token.

A model with one vector for each token is a late-interaction model (ColBERT). MaxSim compares two texts: of each query
token the highest cosine with a token of the document, summed over the query (Khattab and Zaharia 2020). The rule: the
tokenizer is the one that `open_auto_tokenizer` opens, so it does what the folder's tokenizer.json says.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedTokenizerBase
from transformers.utils.hub import cached_file

from anaume.model.opening import check_files, opening, quiet_transformers, safe_arguments
from anaume.tokenizer.auto import open_auto_tokenizer

# Imported where it is used: it takes seconds, which an encoder without modules should not wait for.
if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

LATE = "MultiVectorMask"  # the module that only late-interaction models have
_FLOAT32 = {"dtype": torch.float32}


def is_late(path_or_id: str) -> bool:
    """Whether the folder's own modules give a vector for each token.

    Raises:
        UserError: modules.json can't be read.
    """
    file = cached_file(path_or_id, "modules.json", _raise_exceptions_for_missing_entries=False)
    if file is None:
        return False
    with opening(f"{path_or_id}: modules.json"):
        modules = json.loads(Path(file).read_text(encoding="utf-8"))
        return any(str(module["type"]).endswith(f".{LATE}") for module in modules)


def open_single_vector(path_or_id: str) -> "SentenceTransformer":
    """Open a model with its folder's own pooling, or mean pooling if it has none.

    Raises:
        UserError: the model can't be opened.
    """
    from sentence_transformers import SentenceTransformer, SentenceTransformerModelCardData

    card = SentenceTransformerModelCardData(local_files_only=True)  # asks the Hub for no card
    check_files(path_or_id)
    with opening(path_or_id), quiet_transformers(bars=False):
        network = SentenceTransformer(path_or_id, model_kwargs=_FLOAT32, model_card_data=card, **safe_arguments())
        _use_own_tokenizer(network, path_or_id)
    return network


def open_late(path_or_id: str) -> "MultiVectorEncoder":
    """Open a late-interaction model, or another encoder with a new, random projection to 128 dimensions.

    Raises:
        UserError: the model can't be opened.
    """
    from sentence_transformers import MultiVectorEncoder, MultiVectorEncoderModelCardData

    card = MultiVectorEncoderModelCardData(local_files_only=True)
    check_files(path_or_id)
    with opening(path_or_id), quiet_transformers(bars=False):
        network = MultiVectorEncoder(path_or_id, model_kwargs=_FLOAT32, model_card_data=card, **safe_arguments())
        _use_own_tokenizer(network, path_or_id)
    return network


def _use_own_tokenizer(network: Any, path_or_id: str) -> None:
    transformer = network[0]
    if isinstance(transformer.processor, PreTrainedTokenizerBase):
        tokenizer = open_auto_tokenizer(path_or_id)
        tokenizer.model_max_length = transformer.tokenizer.model_max_length  # the longest input of the folder
        transformer.processor = tokenizer
