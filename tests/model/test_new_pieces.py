"""A checkpoint with an extended tokenizer: its logits stay, and new rows begin at the mean of their old pieces."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForMaskedLM, AutoTokenizer, ModernBertConfig, ModernBertForMaskedLM

from anaume import recipe
from anaume.batches.batch import PackedBatch
from anaume.checkpoints import WEIGHTS
from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.export.checkpoint import export
from anaume.export.selection import select_checkpoint
from anaume.model import mlm
from anaume.model.init import with_shape_of_init
from anaume.pretrain.loop import pretrain
from anaume.recipe import Model
from anaume.run import CheckpointName
from anaume.tokenizer.adapt import copy_tokenizer
from anaume.tokenizer.extend.extension import extend_tokenizer
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokenizer.train import train_tokenizer

SHAPE = {"layers": 2, "hidden": 32, "heads": 2, "intermediate": 40, "positions": 96, "global_every": 2, "window": 16}


@pytest.fixture
def checkpoint(trained: Tokenizer, tmp_path: Path) -> ModernBertForMaskedLM:
    """A stock model of 562 rows with its tokenizer of 560 pieces, in `tmp_path`/model."""
    torch.manual_seed(1)
    config = mlm.config(Model.model_validate(SHAPE), trained, 562)
    config.initializer_range = 0.5
    network: ModernBertForMaskedLM = ModernBertForMaskedLM(ModernBertConfig.from_dict(config.to_dict())).eval()
    torch.nn.init.normal_(network.decoder.bias)
    copy_tokenizer(str(trained.folder), tmp_path / "model")
    network.save_pretrained(tmp_path / "model")
    return network


@pytest.fixture
def text(tmp_path: Path) -> Source:
    """Text whose frequent words are two pieces of the old tokenizer, or unknown to it."""
    words = ["人口産業", "文化歴史", "気候面積", "鉄道河川", "山地名物", "半導体", "特許", "電極"]
    rows = [{"text": "の".join(words[i % 8 :] + words[: i % 5])} for i in range(40)]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Source(path=str(tmp_path / "text.jsonl"))


@pytest.fixture
def extended(checkpoint: ModernBertForMaskedLM, text: Source, tmp_path: Path) -> Tokenizer:
    extend_tokenizer(str(tmp_path / "model"), [text], 16, tmp_path / "extended")
    tokenizer = load_tokenizer(tmp_path / "extended")
    assert 562 < tokenizer.vocab_size <= 576  # The first new pieces take the place of padded rows.
    assert checkpoint.config.vocab_size == 562
    return tokenizer


def built(tmp_path: Path, tokenizer: Tokenizer) -> ModernBertForMaskedLM:
    texts = [{"path": "a.txt"}]
    table = {"name": "go-on", "corpus": {"train": texts, "validation": texts}, "stage": [{"name": "s", "length": 64}]}
    model = {"model": {"init": str(tmp_path / "model")}, "tokenizer": {"load": str(tokenizer.folder)}}
    network = mlm.build(with_shape_of_init(recipe.parse(table | model, "test")).model, tokenizer, 0)
    network.eval()
    return network


def test_new_rows_are_the_means_of_their_pieces(
    checkpoint: ModernBertForMaskedLM, trained: Tokenizer, extended: Tokenizer, tmp_path: Path
) -> None:
    network = built(tmp_path, extended)
    assert network.decoder.weight is network.model.embeddings.tok_embeddings.weight
    old = {piece: index for index, piece in enumerate(trained.pieces)}
    checked = 0
    for index in range(trained.vocab_size, extended.vocab_size):
        piece = extended.pieces[index]
        parts = [int(i) for i in trained.encode([f"\n{piece}"])[0]][2:]  # without the dummy prefix and the line end
        assert piece not in old
        torch.testing.assert_close(network.decoder.weight[index], checkpoint.decoder.weight[parts].mean(0))
        torch.testing.assert_close(network.decoder.bias[index], checkpoint.decoder.bias[parts].mean())
        checked += len(parts) > 1
    assert checked > 8


def test_logits_of_text_without_new_pieces_stay(
    checkpoint: ModernBertForMaskedLM, trained: Tokenizer, extended: Tokenizer, tmp_path: Path
) -> None:
    network = built(tmp_path, extended)
    ids = extended.encode(["大阪府の気候は広く知られている。1945 and so on"])[0].astype(np.int64)
    assert ids.max() < trained.vocab_size
    batch = PackedBatch(ids, np.arange(len(ids)), np.array([len(ids)]), np.arange(len(ids)), ids, np.array([len(ids)]))
    inputs = mlm.to_device(batch, 64, mlm.CPU)
    with torch.inference_mode():
        expected: Tensor = checkpoint(input_ids=inputs.input_ids).logits[0, :, : trained.vocab_size]
        actual = network.decoder(mlm.scored_states(network, inputs))[:, : trained.vocab_size]
    torch.testing.assert_close(actual, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.usefixtures("checkpoint")
def test_another_tokenizer_is_refused_in_one_line(trained: Tokenizer, corpus: Source, tmp_path: Path) -> None:
    train_tokenizer([corpus], 540, tmp_path / "other")
    with pytest.raises(UserError, match=r"tokenizer of model\.init = .*: its piece \d+ is .*; expected the checkpoint"):
        built(tmp_path, load_tokenizer(tmp_path / "other"))
    assert built(tmp_path, trained).config.vocab_size == 576


@pytest.mark.slow
def test_the_export_opens_in_transformers(extended: Tokenizer, text: Source, tmp_path: Path) -> None:
    source = {"path": text.path}
    stage = {"name": "s", "length": 64, "steps": 2, "batch_tokens": 128, "micro_batch_tokens": 128, "warmup_steps": 1}
    table = {
        "name": "domain",
        "corpus": {"train": [source], "validation": [source]},
        "model": {"init": str(tmp_path / "model")},
        "tokenizer": {"load": str(extended.folder)},
        "stage": [stage],
    }
    run = pretrain(recipe.parse(table, "test"), tmp_path / "run")
    assert pretrain(recipe.parse(table, "test"), tmp_path / "run") == run  # The same command again opens the run.
    out = export(run, select_checkpoint(run), tmp_path / "export")
    model, auto = AutoModelForMaskedLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert model.config.vocab_size == len(auto) == extended.vocab_size
    words = "半導体の人口産業について述べる。"
    ids = extended.encode([words])[0].tolist()
    assert max(ids) >= 560
    assert auto(words, add_special_tokens=False)["input_ids"] == ids
    weights = load_file(run.checkpoint(CheckpointName("s", 2)) / WEIGHTS)
    rows = weights["model.embeddings.tok_embeddings.weight"][: extended.vocab_size]
    assert torch.equal(model.get_input_embeddings().weight, rows)
