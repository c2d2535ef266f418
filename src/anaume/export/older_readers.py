"""A model's folder that transformers 5 and sentence-transformers 6 wrote → one that older versions open too.

The files keep what newer versions read. Checked with transformers 4.48 and sentence-transformers 3.4.
"""

import json
from pathlib import Path
from typing import Any

from anaume.files import write_json
from anaume.model.init import shape_of

# `tokenizer_class` of a tokenizer.json in transformers 5, and the name that all versions know.
_TOKENIZERS = {"TokenizersBackend": "PreTrainedTokenizerFast"}
_POOLING_MODES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")


def older_spelling(config: Any) -> dict[str, Any]:
    """The keys of a ModernBERT's config that transformers 4 needs, and would otherwise replace by its own defaults.

    transformers 5 reads them, and does not save them.
    """
    thetas = [config.rope_parameters[kind]["rope_theta"] for kind in ("full_attention", "sliding_attention")]
    return {
        "global_rope_theta": thetas[0],
        "local_rope_theta": thetas[1],
        "global_attn_every_n_layers": shape_of(config)["global_every"],
        "local_attention": config.local_attention,
    }


def change_json(file: Path, values: dict[str, Any]) -> None:
    """Set keys of a JSON file."""
    write_json(file, json.loads(file.read_text(encoding="utf-8")) | values)


def write_sentence_modules(folder: Path, hidden: int, positions: int) -> None:
    """Write the sentence-transformers modules for mean pooling over all tokens (the paper's section 4.3)."""
    modules = (("", "Transformer"), ("1_Pooling", "Pooling"))
    write_json(folder / "modules.json", [_module(i, path, name) for i, (path, name) in enumerate(modules)])
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": positions, "do_lower_case": False})
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", _pooling({"embedding_dimension": hidden, "pooling_mode": "mean"}))


def rewrite_network_for_older_readers(folder: Path, config: Any) -> None:
    """Rewrite the config and the tokenizer of a folder in place; `config` is the network's."""
    if config.model_type == "modernbert":
        change_json(folder / "config.json", older_spelling(config))
    tokenizer = folder / "tokenizer_config.json"
    name = json.loads(tokenizer.read_text(encoding="utf-8")).get("tokenizer_class")
    change_json(tokenizer, {"tokenizer_class": _TOKENIZERS.get(name, name)})


def rewrite_modules_for_older_readers(folder: Path, max_length: int | None) -> None:
    """Rewrite the modules of a sentence-transformers folder in place.

    `max_length` is the longest input in tokens; None: the model's.
    """
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    names = [module["type"].rpartition(".")[2] for module in modules]
    write_json(folder / "modules.json", [_module(i, modules[i]["path"], name) for i, name in enumerate(names)])
    for module, name in zip(modules, names, strict=True):
        if name == "Pooling":
            file = folder / module["path"] / "config.json"
            write_json(file, _pooling(json.loads(file.read_text(encoding="utf-8"))))
    settings = json.loads((folder / "sentence_bert_config.json").read_text(encoding="utf-8"))
    lower = settings.get("do_lower_case", False)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": lower})


def _module(index: int, path: str, name: str) -> dict[str, Any]:
    return {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{name}"}


def _pooling(newer: dict[str, Any]) -> dict[str, Any]:
    """The keys of sentence-transformers 3 for a pooling of version 6, which reads them too."""
    modes = newer["pooling_mode"]
    names = [modes] if isinstance(modes, str) else modes
    chosen = {
        f"pooling_mode_{mode}": mode.removesuffix("_tokens").removesuffix("_token") in names or mode in names
        for mode in _POOLING_MODES
    }
    return {
        "word_embedding_dimension": newer["embedding_dimension"],
        **chosen,
        "include_prompt": newer.get("include_prompt", True),
    }
