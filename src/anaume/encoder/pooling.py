"""A sentence-transformers folder's own modules: hidden states of rows → one vector for each row.

An encoder without such modules is mean-pooled, as in the paper. The rule: a folder that has modules is measured with
its pooling, its prompts, its normalisation and its longest input, because without them it is another model.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils.hub import cached_file

from anaume.encoder.modules import LATE
from anaume.errors import UserError
from anaume.model.opening import opening
from anaume.remote_code import remote_code_allowed

MEAN = "mean over all tokens, special ones included"
# Names of the prompts of sentence-transformers' `encode_query` and `encode_document`, the first that exists.
_QUERY, _DOCUMENT = ("query",), ("document", "passage", "corpus")


@dataclass(frozen=True)
class Pooling:
    """How an encoder's hidden states become one vector for each text.

    `description`         for records
    `modules`             modules after the transformer; None: the mean over all tokens
    `max_length`          longest input that the folder states; None: the model's
    `lower`               whether texts are put into lower case
    `query`, `document`   prompts put before a query and before a document
    `layer`               layer whose states are pooled, 0 for the embeddings; None: after the last one
    """

    description: str = MEAN
    modules: nn.Sequential | None = None
    max_length: int | None = None
    lower: bool = False
    query: str = ""
    document: str = ""
    layer: int | None = None

    def of_layer(self, layer: int | None) -> "Pooling":
        """This pooling over the states of a layer."""
        return self if layer is None else replace(self, layer=layer, description=f"{self.description}; layer {layer}")

    def __call__(self, states: Tensor, lengths: list[int], prompt_tokens: int) -> Tensor:
        """Return (rows, dimensions) float32 vectors of (sum of lengths, hidden) states without padding."""
        if self.modules is None:
            return torch.segment_reduce(states.float(), "mean", lengths=torch.tensor(lengths, device=states.device))
        padded = nn.utils.rnn.pad_sequence(states.float().split(lengths), batch_first=True)
        mask = torch.arange(padded.shape[1])[None] < torch.tensor(lengths)[:, None]
        features = {
            "token_embeddings": padded,
            "attention_mask": mask.long().to(states.device),
            "prompt_length": prompt_tokens,
        }
        vectors: Tensor = self.modules(features)["sentence_embedding"]
        return vectors.float()


def pooling_of(path_or_id: str, choice: str, device: torch.device) -> Pooling:
    """Read the modules of a folder or Hub id; those of sentence-transformers only, so that no other code runs.

    Raises:
        UserError: a file or a module can't be read, the modules don't begin with a transformer, or they are those of a
            late-interaction model.
    """
    if choice == "mean" or (modules_file := _file(path_or_id, "modules.json")) is None:
        return Pooling()
    from sentence_transformers.util import import_from_string  # seconds, which a plain encoder should not wait for

    with opening(f"{path_or_id}: modules.json"):
        rows = json.loads(modules_file.read_text(encoding="utf-8"))
        types = [row["type"] for row in rows]
        if foreign := [name for name in types if not name.startswith("sentence_transformers.")]:
            raise UserError(
                f"{path_or_id}: modules.json: {foreign[0]}: code of the model's own, which is not run here; expected"
                " modules of sentence-transformers, or --pooling mean"
            )
        names = [name.rpartition(".")[2] for name in types]
        if names[0] != "Transformer" or rows[0]["path"]:
            raise UserError(
                f"{path_or_id}: modules.json: begins with {names[0]} in {rows[0]['path']!r}; expected a Transformer in"
                " the folder itself, or --pooling mean"
            )
        if LATE in names:
            raise UserError(
                f"{path_or_id}: has a vector for each token, and none for the text; expected eval retrieval or"
                " MtebLateEncoder, which compare them by MaxSim, or --pooling mean"
            )
        classes: list[Any] = [import_from_string(row["type"]) for row in rows[1:]]
        modules = [
            module.load(path_or_id, subfolder=row["path"], trust_remote_code=remote_code_allowed())
            for module, row in zip(classes, rows[1:], strict=True)
        ]
        settings = _settings(path_or_id, "sentence_bert_config.json")
        prompts = _settings(path_or_id, "config_sentence_transformers.json")
        length = settings.get("max_seq_length")
        query, document = (_prompt(prompts, names) for names in (_QUERY, _DOCUMENT))
        return Pooling(
            _describe(modules),
            nn.Sequential(*modules).to(device).eval(),
            None if length is None else int(length),
            bool(settings.get("do_lower_case", False)),
            query,
            document,
        )


def _describe(modules: list[Any]) -> str:
    """For example "sentence-transformers: Pooling (cls), Normalize"."""
    names = [
        f"{type(module).__name__} ({module.pooling_mode})" if hasattr(module, "pooling_mode") else type(module).__name__
        for module in modules
    ]
    return f"sentence-transformers: {', '.join(names)}"


def _prompt(settings: dict[str, Any], names: tuple[str, ...]) -> str:
    prompts = settings.get("prompts") or {}
    own = next((prompts[name] for name in names if name in prompts), None)
    return str(own if own is not None else prompts.get(settings.get("default_prompt_name"), "") or "")


def _settings(path_or_id: str, name: str) -> dict[str, Any]:
    file = _file(path_or_id, name)
    settings: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file else {}
    return settings


def _file(path_or_id: str, name: str) -> Path | None:
    file = cached_file(path_or_id, name, _raise_exceptions_for_missing_entries=False)
    return Path(file) if file else None
