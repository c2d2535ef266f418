"""The network: its size, the padding of its vocabulary, and continuing from another checkpoint."""

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import ModernBertConfig, ModernBertForMaskedLM

from anaume import recipe
from anaume.batches.batch import PackedBatch
from anaume.errors import UserError
from anaume.model import mlm
from anaume.model.memory import parameters
from anaume.recipe import Model, Precision
from anaume.tokenizer.load import Tokenizer

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


def test_layers_alternate_and_share_theta(trained: Tokenizer) -> None:
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


def test_products_follow_the_precision() -> None:
    cuda, cpu = torch.device("cuda"), mlm.CPU
    assert [mlm.product_dtype(cuda, precision) for precision in ("auto", "bfloat16", "float32")] == [
        torch.bfloat16,
        torch.bfloat16,
        torch.float32,
    ]
    assert [mlm.product_dtype(cpu, precision) for precision in ("auto", "bfloat16", "float32")] == [
        torch.float32,
        torch.bfloat16,
        torch.float32,
    ]


@pytest.mark.parametrize(("flags", "chosen"), [({"amx_bf16": True}, "bfloat16"), ({"avx512_bf16": False}, "float32")])
def test_a_new_run_takes_bfloat16_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], chosen: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    assert mlm.training_precision(mlm.CPU, "auto") == chosen
    assert mlm.training_precision(torch.device("cuda"), "auto") == "bfloat16"
    assert mlm.training_precision(mlm.CPU, "float32") == "float32"


def test_an_untrained_network_has_the_loss_of_guessing(trained: Tokenizer) -> None:
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


def _save(trained: Tokenizer, folder: Path, **changes: Any) -> ModernBertForMaskedLM:
    """A published ModernBERT of SMALL's shape, with the default thetas of transformers: 160,000 and 10,000."""
    torch.manual_seed(3)
    values = mlm.config(SMALL, trained, trained.vocab_size).to_dict()
    network: ModernBertForMaskedLM = ModernBertForMaskedLM(ModernBertConfig.from_dict(values | changes)).eval()
    with torch.no_grad():  # the attention of an untrained network is too flat to depend on theta
        for layer in network.model.layers:
            layer.attn.Wqkv.weight.mul_(20)
    network.save_pretrained(folder)
    return network


def test_a_checkpoint_keeps_its_thetas_and_its_activation(trained: Tokenizer, tmp_path: Path) -> None:
    """Logits of one document: transformers on the folder against the packed path of the network that continues it."""
    original = _save(trained, tmp_path / "model", hidden_activation="relu", norm_eps=1e-3)
    continued = mlm.build(SMALL.model_copy(update={"init": str(tmp_path / "model")}), trained, 0).eval()
    ids = torch.randint(300, 500, (100,), generator=torch.Generator().manual_seed(0)).numpy()
    batch = PackedBatch(ids, np.arange(100), np.array([100]), np.arange(100), ids, np.array([100]))
    inputs = mlm.to_device(batch, 128, mlm.CPU)

    def logits() -> torch.Tensor:
        padded: torch.Tensor = continued.decoder(mlm.scored_states(continued, inputs))
        return padded[:, : trained.vocab_size]

    with torch.inference_mode():
        expected = original(input_ids=inputs.input_ids).logits[0]
        mlm.set_rope_theta(continued, 10_000)
        assert (logits() - expected).abs().max() > 1e-3
        mlm.set_rope_theta(continued, 0)
        torch.testing.assert_close(logits(), expected, atol=1e-5, rtol=1e-4)
        mlm.set_rope_theta(continued, 160_000, 10_000)
        torch.testing.assert_close(logits(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("init", "options", "thetas"),
    [
        ("", {}, (10_000, 0)),
        ("", {"rope_theta": 20_000.0}, (20_000, 0)),
        ("somewhere", {}, (0, 0)),
        ("somewhere", {"rope_theta": 160_000.0, "local_rope_theta": 10_000.0}, (160_000, 10_000)),
        ("somewhere", {"rope_theta": 10_000.0}, (10_000, 0)),  # the form of recipes older than local_rope_theta
    ],
)
def test_thetas_of_a_stage(init: str, options: dict[str, float], thetas: tuple[int, int], tmp_path: Path) -> None:
    """The thetas are those of the parsed recipe and of the recipe that a run folder holds."""
    texts = [{"path": "a.txt"}]
    table = {"name": "thetas", "corpus": {"train": texts, "validation": texts}, "tokenizer": {"load": "x"}}
    parsed = recipe.parse(table | {"model": {"init": init}, "stage": [{"name": "stage"} | options]}, "test")
    (tmp_path / "recipe.toml").write_text(recipe.to_toml(parsed))
    for read in (parsed, recipe.load(tmp_path / "recipe.toml")):
        assert (read.stage[0].rope_theta, read.stage[0].local_rope_theta) == thetas


def test_a_theta_can_only_be_kept_from_a_checkpoint() -> None:
    texts = [{"path": "a.txt"}]
    table = {"name": "thetas", "corpus": {"train": texts, "validation": texts}, "tokenizer": {"load": "x"}}
    with pytest.raises(
        UserError, match=r"stage 'stage': rope_theta = 0: keeps that of model.init, which is not set; expected"
    ):
        recipe.parse(table | {"stage": [{"name": "stage", "rope_theta": 0.0}]}, "test")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [("decoder_bias", False, "True"), ("tie_word_embeddings", False, "True"), ("mlp_dropout", 0.1, "0")],
)
def test_continuing_from_unsupported_settings_is_an_error(
    key: str, value: object, expected: str, trained: Tokenizer, tmp_path: Path
) -> None:
    _save(trained, tmp_path / "model", **{key: value})
    with pytest.raises(UserError, match=f"its {key} is {value}; expected {expected}$"):
        mlm.build(SMALL.model_copy(update={"init": str(tmp_path / "model")}), trained, 0)


def test_a_kept_configuration_replaces_the_checkpoint(trained: Tokenizer, tmp_path: Path) -> None:
    _save(trained, tmp_path / "model", norm_eps=1e-3)
    model = SMALL.model_copy(update={"init": str(tmp_path / "model")})
    network = mlm.build(model, trained, 0)
    mlm.keep_config(network, tmp_path / "network.json")
    shutil.rmtree(tmp_path / "model")
    again = mlm.build(model, trained, 0, kept=tmp_path / "network.json")
    assert again.config.to_dict() == network.config.to_dict()
    assert {n: p.shape for n, p in again.named_parameters()} == {n: p.shape for n, p in network.named_parameters()}
    with pytest.raises(UserError, match="no such folder"):
        mlm.build(model, trained, 0)


def test_a_changed_configuration_and_weights_of_another_network_are_one_line(
    trained: Tokenizer, tmp_path: Path
) -> None:
    kept = tmp_path / "network.json"
    mlm.keep_config(mlm.build(SMALL, trained, 0), kept)
    text = kept.read_text(encoding="utf-8")
    kept.write_text(text.replace('"norm_eps": 1e-05', '"norm_eps": 1e-04'), encoding="utf-8")
    with pytest.raises(UserError, match=r"network\.json: changed since it was written"):
        mlm.build(SMALL, trained, 0, kept=kept)
    kept.write_text('{"hidden_size": "wide"}', encoding="utf-8")
    with pytest.raises(UserError, match=r"network\.json: can't be opened"):
        mlm.build(SMALL, trained, 0, kept=kept)
    wider = mlm.build(SMALL.model_copy(update={"hidden": 2 * SMALL.hidden}), trained, 0)
    save_file(mlm.weights_of(wider), tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="weights are those of another network"):
        mlm.load_weights(mlm.build(SMALL, trained, 0), [tmp_path / "model.safetensors"])


def test_continuing_from_another_shape_is_an_error(trained: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent: no such folder"):
        mlm.build(SMALL.model_copy(update={"init": str(tmp_path / "absent")}), trained, 0)
    _save(trained, tmp_path / "model")
    for key, value in (("hidden", 64), ("layers", 7), ("positions", 8), ("window", 200)):
        other = SMALL.model_copy(update={"init": str(tmp_path / "model"), key: value})
        with pytest.raises(UserError, match=rf"model\.{key} = {value}: not that of model\.init"):
            mlm.build(other, trained, 0)
    network = mlm.build(SMALL, trained, 0)
    mlm.resize_vocabulary(network, 500)
    network.save_pretrained(tmp_path / "short")
    with pytest.raises(UserError, match=r"has 500 rows, and the tokenizer 560 pieces"):
        mlm.build(SMALL.model_copy(update={"init": str(tmp_path / "short")}), trained, 0)
