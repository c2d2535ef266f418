"""The demo's small twin in a language with spaces: from sentences to cloze questions answered, for each vocabulary."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from transformers import pipeline

import anaume
from anaume.recipe import parse

CAPITALS = {"France": "Paris", "Japan": "Tokyo", "Spain": "Madrid", "Italy": "Rome", "Norway": "Oslo", "Peru": "Lima"}
SENTENCES = ("The capital of {land} is {city}.", "{city} is the capital of {land}.", "People in {land} go to {city}.")
STAGE = {
    **{"name": "stage", "length": 64, "steps": 200, "batch_tokens": 1_024},
    **{"optimizer": "muon", "learning_rate": 1e-2, "save_every": 1_000},
}


def write_corpus(file: Path, documents: int, seed: int) -> None:
    """Documents of some sentences about one country each."""
    draw = random.Random(seed)
    with file.open("w", encoding="utf-8") as lines:
        for _ in range(documents):
            land, city = draw.choice(list(CAPITALS.items()))
            text = " ".join(draw.choice(SENTENCES).format(land=land, city=city) for _ in range(2))
            lines.write(json.dumps({"text": text}) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_questions_of_a_language_with_spaces_are_learned(kind: str, tmp_path: Path) -> None:
    write_corpus(tmp_path / "text.jsonl", 600, seed=0)
    recipe = parse(
        {
            "name": "english",
            "corpus": {"train": [{"path": str(tmp_path / "text.jsonl")}], "validation_share": 0.05},
            "tokenizer": {"train": 520, "kind": kind},
            "model": {"layers": 2, "hidden": 64, "heads": 2, "intermediate": 96, "positions": 64},
            "stage": [STAGE],
        },
        "english",
    )
    encoder = anaume.export(anaume.pretrain(recipe, tmp_path / "run"), tmp_path / "encoder")

    fill: Any = pipeline("fill-mask", model=str(encoder))
    mask = fill.tokenizer.mask_token
    answers = {land: fill(f"The capital of {land} is {mask}.")[0]["token_str"].strip() for land in CAPITALS}
    assert answers == CAPITALS
    cloze = tmp_path / "cloze.jsonl"
    questions = [{"text": f"The capital of {land} is [MASK].", "answers": [city]} for land, city in CAPITALS.items()]
    cloze.write_text("\n".join(map(json.dumps, questions)), encoding="utf-8")
    (record,) = anaume.evaluate("fill-mask", encoder, tmp_path / "evals", cloze=cloze)
    assert (record.metrics["accuracy_at_1"], record.metrics["naive_accuracy_at_1"]) == (1, 1)
