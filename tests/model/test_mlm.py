"""The network around the packed rows: its size, its vocabulary's padding, continuing from another checkpoint."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from anaume.batches.batch import PackedBatch
from anaume.errors import UserError
from anaume.model import mlm
from anaume.model.memory import parameters
from anaume.recipe import Model, Precision
from anaume.tokens.tokenizer import Tokenizer

SMALL = Model(layers=3, hidden=32, heads=2, intermediate=48, positions=128, window=16)


def test_the_papers_model_has_the_papers_parameters() -> None:
    assert parameters(Model(), 99_574).total == 187_494_646


def test_the_formula_counts_what_is_built(trained: Tokenizer) -> None:
    network = mlm.build(SMALL, trained, 0)
    mlm.resize_vocabulary(network, trained.vocab_size)
    assert sum(p.numel() for p in network.parameters()) == parameters(SMALL, trained.vocab_size).total


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_gradient_checkpointing_changes_no_gradient(trained: Tokenizer, precision: Precision) -> None:
    network = mlm.build(SMALL, trained, 0).train()
    ids = torch.randint(300, 500, (64,), generator=torch.Generator().manual_seed(0)).numpy()
    batch = PackedBatch(ids, np.arange(64), np.array([64]), np.arange(5, 25), ids[5:25], np.array([64]))
    gradients = []
    for on in (False, True):
        mlm.set_gradient_checkpointing(network, on)
        assert all(layer.gradient_checkpointing == on for layer in network.model.layers)
        loss = mlm.loss_sum(network, mlm.to_device(batch, 64, network.device), precision)
        gradients.append(torch.autograd.grad(loss, list(network.parameters())))
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


def test_layers_alternate_and_theta_is_one(trained: Tokenizer) -> None:
    config = mlm.config(Model(), trained, 99_574)
    assert [i for i, kind in enumerate(config.layer_types or []) if kind == "full_attention"] == [
        0,
        3,
        6,
        9,
        12,
        15,
        18,
        21,
    ]
    assert config.sliding_window == 64
    network = mlm.build(SMALL, trained, 0)
    mlm.set_rope_theta(network, 10_000)
    expected = 10_000 ** -(torch.arange(0, 16, 2) / 16)
    for kind in ("full_attention", "sliding_attention"):
        torch.testing.assert_close(getattr(network.model.rotary_emb, f"{kind}_inv_freq"), expected)


def test_the_padding_of_the_vocabulary_changes_no_probability(trained: Tokenizer) -> None:
    network = mlm.build(SMALL, trained, 0)
    padded = network.config.vocab_size
    assert padded % 64 == 0
    assert padded > trained.vocab_size
    probabilities = network.decoder(torch.randn(5, 32)).softmax(-1)
    assert (probabilities[:, trained.vocab_size :] == 0).all()
    assert network.decoder.weight is network.model.embeddings.tok_embeddings.weight


def test_weights_follow_the_seed(trained: Tokenizer) -> None:
    same, again, other = (mlm.build(SMALL, trained, seed) for seed in (0, 0, 1))
    assert torch.equal(same.head.dense.weight, again.head.dense.weight)
    assert not torch.equal(same.head.dense.weight, other.head.dense.weight)


def test_an_untrained_network_knows_nothing(trained: Tokenizer) -> None:
    network = mlm.build(SMALL, trained, 0)
    logits = network.decoder(network.head(torch.randn(200, 32)))[:, : trained.vocab_size]
    loss = torch.nn.functional.cross_entropy(logits, torch.randint(0, trained.vocab_size, (200,)))
    assert loss.item() == pytest.approx(math.log(trained.vocab_size), abs=0.2)


def test_continuing_from_a_folder(trained: Tokenizer, tmp_path: Path) -> None:
    network = mlm.build(SMALL, trained, 5)
    mlm.resize_vocabulary(network, trained.vocab_size)
    network.save_pretrained(tmp_path / "model")
    continued = mlm.build(SMALL.model_copy(update={"init": str(tmp_path / "model")}), trained, 0)
    assert torch.equal(continued.head.dense.weight, network.head.dense.weight)
    assert continued.config.vocab_size % 64 == 0


def test_continuing_from_what_does_not_fit(trained: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model.init = .*absent.*: can't be opened as a Hugging Face model"):
        mlm.build(SMALL.model_copy(update={"init": str(tmp_path / "absent")}), trained, 0)
    network = mlm.build(SMALL, trained, 0)
    network.save_pretrained(tmp_path / "padded")
    with pytest.raises(UserError, match=r"its vocab_size is 576, the recipe's model and tokenizer give 560"):
        mlm.build(SMALL.model_copy(update={"init": str(tmp_path / "padded")}), trained, 0)
