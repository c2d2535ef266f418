"""`model.init` alone: shape, tokenizer and padded rows of a checkpoint, and the mistakes in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, ModernBertConfig, ModernBertForMaskedLM

from anaume import recipe
from anaume.batches.batch import PackedBatch
from anaume.errors import UserError
from anaume.model import mlm
from anaume.model.init import shape_of, with_shape_of_init
from anaume.recipe import Model, Recipe
from anaume.tokenizer.load import Tokenizer

SHAPE = {
    "layers": 4,
    "hidden": 32,
    "heads": 2,
    "intermediate": 40,
    "positions": 96,
    "global_every": 2,
    "window": 16,
}


def parsed(init: Path, length: int = 64, **model: Any) -> Recipe:
    """A recipe that gives nothing but `init`, a text and a stage."""
    texts = [{"path": "a.txt"}]
    table = {"name": "go-on", "corpus": {"train": texts, "validation": texts}, "model": {"init": str(init)} | model}
    return recipe.parse(table | {"stage": [{"name": "stage", "length": length}]}, "test")


@pytest.fixture
def padded(trained: Tokenizer, tmp_path: Path) -> ModernBertForMaskedLM:
    """A checkpoint of another shape than the defaults, with 640 rows for 560 pieces; saved in `tmp_path`/model."""
    torch.manual_seed(1)
    config = mlm.config(Model.model_validate(SHAPE), trained, 640)
    config.initializer_range = 0.5
    config.norm_eps = 1e-3
    network: ModernBertForMaskedLM = ModernBertForMaskedLM(ModernBertConfig.from_dict(config.to_dict())).eval()
    network.save_pretrained(tmp_path / "model")
    return network


def test_the_recipe_needs_nothing_else(padded: ModernBertForMaskedLM, tmp_path: Path) -> None:
    given = parsed(tmp_path / "model")
    resolved = with_shape_of_init(given)
    assert resolved.model.model_dump(exclude={"init"}) == SHAPE == shape_of(padded.config)
    assert resolved.tokenizer.load == str(tmp_path / "model")
    assert with_shape_of_init(resolved) == resolved
    again = recipe.parse(resolved.model_dump(), "run")  # as the run's folder holds it
    assert again == resolved


def test_a_longer_stage_extends_the_input(padded: ModernBertForMaskedLM, trained: Tokenizer, tmp_path: Path) -> None:
    resolved = with_shape_of_init(parsed(tmp_path / "model", length=256))
    assert resolved.model.positions == 256
    assert mlm.build(resolved.model, trained, 0).config.max_position_embeddings == 256
    assert padded.config.max_position_embeddings == 96


def test_a_run_that_has_begun_does_not_open_the_checkpoint(tmp_path: Path) -> None:
    begun = Model.model_validate(SHAPE | {"init": str(tmp_path / "gone")})
    assert with_shape_of_init(parsed(tmp_path / "gone"), begun).model == begun


def test_padded_rows_are_kept_and_written_back(
    padded: ModernBertForMaskedLM, trained: Tokenizer, tmp_path: Path
) -> None:
    """The logits at step 0 are the stock model's, at the padded rows too, and so are the rows written back."""
    model = with_shape_of_init(parsed(tmp_path / "model")).model
    network = mlm.build(model, trained, 0).eval()
    ids = torch.randint(300, 500, (60,), generator=torch.Generator().manual_seed(0)).numpy()
    batch = PackedBatch(ids, np.arange(60), np.array([60]), np.arange(60), ids, np.array([60]))
    inputs = mlm.to_device(batch, 64, mlm.CPU)
    with torch.inference_mode():
        expected = padded(input_ids=inputs.input_ids).logits[0]
        torch.testing.assert_close(network.decoder(mlm.scored_states(network, inputs)), expected, atol=2e-5, rtol=1e-5)
    assert expected.abs().max() > 0.1
    mlm.keep_config(network, tmp_path / "network.json")
    kept = mlm.build(model, trained, 0, kept=tmp_path / "network.json")
    for opened in (network, kept):
        mlm.remove_padding(opened)
        assert opened.config.vocab_size == opened.decoder.out_features == 640
    assert torch.equal(network.decoder.weight, padded.decoder.weight)
    assert torch.equal(network.decoder.bias, padded.decoder.bias)
    assert "unpadded" not in network.config.to_json_string()


def test_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    shape: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    BertForMaskedLM(BertConfig(vocab_size=50, **shape)).save_pretrained(tmp_path / "bert")
    with pytest.raises(UserError, match="its architecture is 'bert'; expected 'modernbert'"):
        with_shape_of_init(parsed(tmp_path / "bert"))


@pytest.mark.parametrize(("key", "value"), [("hidden", 64), ("layers", 3), ("global_every", 3), ("positions", 64)])
def test_what_the_recipe_gives_is_checked(padded: ModernBertForMaskedLM, tmp_path: Path, key: str, value: int) -> None:
    with pytest.raises(
        UserError, match=rf"model\.{key} = {value}: not that of model\.init = .*; expected {SHAPE[key]}"
    ):
        with_shape_of_init(parsed(tmp_path / "model", **{key: value}))
    assert padded.config.hidden_size == 32
