"""Tiny models of every kind that the page shows. Heads have zero weights, so their biases are the outcome."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from anaume.encoder.modules import open_late
from anaume.finetune.entities import label_names
from anaume.finetune.examples import Head
from anaume.finetune.network import build_network
from anaume.play.models import Served, open_models

MakeTuned = Callable[..., Path]


@pytest.fixture(scope="session")
def served(modernbert_folder: Path, bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Served:
    return open_models([str(modernbert_folder), str(bert_folder)], tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="session")
def make_tuned(
    modernbert_folder: Path, unigram: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory
) -> MakeTuned:
    """Write a fine-tuned model: `make_tuned("name", head, logits)`, the same logits for every input."""

    def make(name: str, head: Head, logits: list[float]) -> Path:
        folder = tmp_path_factory.mktemp("tuned") / name
        network = build_network(str(modernbert_folder), head, torch.device("cpu"))
        torch.nn.init.zeros_(network.classifier.weight)
        network.classifier.bias.data = torch.tensor(logits)
        network.save_pretrained(folder)
        unigram("always").save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def tagger(make_tuned: MakeTuned) -> Path:
    """A tagger for which every token is an entity of its own."""
    names = label_names(("地名", "物"))
    return make_tuned("tagger", Head("entities", "tokens", 5, names), [float(name == "B-地名") for name in names])


@pytest.fixture(scope="session")
def classifier(make_tuned: MakeTuned) -> Path:
    """A classifier that gives 良い 70 %, 悪い 20 % and 普通 10 %."""
    logits = torch.tensor([0.2, 0.7, 0.1]).log().tolist()
    return make_tuned("classifier", Head("classes", "classes", 3, ("悪い", "良い", "普通")), logits)


@pytest.fixture(scope="session")
def late_folder(modernbert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)  # of the projection
    folder = tmp_path_factory.mktemp("late") / "tiny-late"
    open_late(str(modernbert_folder)).save_pretrained(str(folder), create_model_card=False)
    return folder
