"""Write the evaluation files of the built-in corpus, all made from held-out patterns."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from anaume.corpus.hakoniwa.tasks.acceptability import jcola
from anaume.corpus.hakoniwa.tasks.cloze import cloze
from anaume.corpus.hakoniwa.tasks.glue import jnli, jsts
from anaume.corpus.hakoniwa.tasks.pairs import pairs
from anaume.files import write_atomic

TRAIN, VALID = 1200, 300  # examples of a miniature JGLUE task


def write_tasks(directory: Path, seed: int) -> None:
    """Write cloze.jsonl, pairs.jsonl and the folders jsts-v1.3, jnli-v1.3, jcola-v1.0 into `directory`."""
    files: dict[str, Iterable[Mapping[str, Any]]] = {
        "cloze.jsonl": map(asdict, cloze(seed)),
        "pairs.jsonl": map(asdict, pairs(seed)),
        "jsts-v1.3/train-v1.3.json": jsts(seed, TRAIN, validation=False),
        "jsts-v1.3/valid-v1.3.json": jsts(seed, VALID, validation=True),
        "jnli-v1.3/train-v1.3.json": jnli(seed, TRAIN, validation=False),
        "jnli-v1.3/valid-v1.3.json": jnli(seed, VALID, validation=True),
        "jcola-v1.0/in_domain_train-v1.0.json": jcola(seed, TRAIN, domain="in", validation=False),
        "jcola-v1.0/in_domain_valid-v1.0.json": jcola(seed, VALID, domain="in", validation=True),
        "jcola-v1.0/out_of_domain_valid-v1.0.json": jcola(seed, VALID, domain="out", validation=True),
    }
    for name, rows in files.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        write_atomic(directory / name, "".join(lines))
