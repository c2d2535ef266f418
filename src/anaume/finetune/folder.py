"""A trained network and its tokenizer → an ordinary folder that transformers' `pipeline` opens, with a card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anaume.export.older_readers import change_json, older_spelling
from anaume.files import write_atomic, write_json
from anaume.files.outputs import output_folder
from anaume.finetune import COMMAND
from anaume.finetune.examples import Head
from anaume.formats import number
from anaume.model.opening import quiet_transformers

RECORD = "finetune.json"
# What the kinds of task are called on the terminal and on cards, and their pipelines.
KINDS = {
    "similarity": ("regression", "text-classification"),
    "classes": ("classification", "text-classification"),
    "labels": ("classification with any number of labels", "text-classification"),
    "tokens": ("entities", "token-classification"),
}


def write_model(
    network: Any, tokenizer: Any, head: Head, record: Mapping[str, Any], example: tuple[str, ...], out: Path
) -> Path:
    """Write the folder `out`; `record` has the keys `model`, `metrics` and whatever explains them.

    Raises:
        UserError: `out` holds something that this command did not write.
    """
    with output_folder(out, COMMAND) as temporary:
        with quiet_transformers(bars=False):
            network.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        if network.config.model_type == "modernbert":
            change_json(temporary / "config.json", older_spelling(network.config))
        change_json(temporary / "tokenizer_config.json", {"tokenizer_class": _class_name(tokenizer)})
        write_json(temporary / RECORD, dict(record))
        write_atomic(temporary / "README.md", card(head, record, example, out.name))
    return out


def _class_name(tokenizer: Any) -> str:
    """The name that all versions of transformers know for a tokenizer that consists of its tokenizer.json."""
    name = type(tokenizer).__name__
    return {"TokenizersBackend": "PreTrainedTokenizerFast"}.get(name, name)


def card(head: Head, record: Mapping[str, Any], example: tuple[str, ...], name: str) -> str:
    """Return the model card in Markdown."""
    kind, task = KINDS[head.kind]
    options = ', aggregation_strategy="simple"' if head.kind == "tokens" else ""
    texts = repr(example[0]) if len(example) == 1 else repr(dict(zip(("text", "text_pair"), example, strict=True)))
    rows = "\n".join(f"| {metric} | {number(value)} |" for metric, value in record["metrics"].items())
    labels = f"\nLabels: {', '.join(head.names)}.\n" if head.kind != "similarity" else ""
    return f"""---
library_name: transformers
pipeline_tag: {task}
base_model: {record["model"]}
---

# {name}

A model for {kind}, fine-tuned by [anaume](https://pypi.org/project/anaume/) from `{record["model"]}` on
{record["train"]:,} examples of `{record["data"]}`.
{labels}
    from transformers import pipeline
    pipeline("{task}", "{name}"{options})({texts})

Scores on {record["n"]:,} examples that were held out of training:

| metric | value |
|---|---:|
{rows}

`{RECORD}` holds the settings of the training.
"""
