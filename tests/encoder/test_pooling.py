"""A sentence-transformers folder is measured as sentence-transformers itself would."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel

from anaume.encoder.embed import embed
from anaume.encoder.load import load_encoder
from anaume.encoder.pooling import MEAN, Pooling, pooling_of
from anaume.errors import UserError
from anaume.evals.inputs.pairs import Pair
from anaume.evals.retrieval.collection import from_pairs
from anaume.evals.retrieval.evaluate import evaluate

from ..support.models import sentences

TEXTS = sentences(12)
PROMPTS = {"query": "東京", "document": "京都は"}


def write_modules(folder: Path, mode: str, kind: str = "sentence_transformers.models") -> None:
    """Make a folder one of sentence-transformers: pooling `mode`, normalisation, prompts, 20 tokens at most."""
    names = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    modules = [{"idx": i, "name": str(i), "path": p, "type": f"{kind}.{n}"} for i, (p, n) in enumerate(names)]
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 32, f"pooling_mode_{mode}": True, "include_prompt": mode != "mean_tokens"}
    for name, content in (
        ("modules.json", modules),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False} | pooling),
        ("sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": False}),
        ("config_sentence_transformers.json", {"prompts": PROMPTS}),
    ):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("folder", ["modernbert_folder", "bert_folder"])
@pytest.mark.parametrize("mode", ["cls_token", "mean_tokens", "max_tokens", "lasttoken"])
def test_embeddings_equal_those_of_sentence_transformers(
    folder: str, mode: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = shutil.copytree(request.getfixturevalue(folder), tmp_path / "model")
    write_modules(path, mode)
    stock = SentenceTransformer(str(path), device="cpu")
    encoder = load_encoder(str(path), masked_lm=False)
    pooling = pooling_of(str(path), "own", encoder.device)
    for prompt, expected in (
        (pooling.query, stock.encode_query(TEXTS, convert_to_tensor=True)),
        (pooling.document, stock.encode_document(TEXTS, convert_to_tensor=True)),
    ):
        got = embed(encoder, TEXTS, pooling=pooling, prompt=prompt, batch_tokens=64)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
        assert (embed(encoder, TEXTS) - expected).abs().max() > 0.01  # the mean is another model
    assert (pooling.query, pooling.document, pooling.max_length) == ("東京", "京都は", 20)


@pytest.mark.parametrize("folder", ["modernbert_folder", "bert_folder"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_layer_is_pooled_as_transformers_counts_it(folder: str, layer: int, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(folder)
    encoder = load_encoder(str(path), masked_lm=False)
    model = AutoModel.from_pretrained(path).eval()
    for text, vector in zip(TEXTS, embed(encoder, TEXTS, pooling=Pooling().of_layer(layer)), strict=True):
        with torch.inference_mode():
            outputs = model(**encoder.tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        torch.testing.assert_close(vector, outputs.hidden_states[layer][0].mean(0), atol=1e-5, rtol=1e-5)


def test_a_layer_that_is_not_there(modernbert_folder: Path) -> None:
    encoder = load_encoder(str(modernbert_folder), masked_lm=False)
    layers = encoder.model.config.num_hidden_layers
    with pytest.raises(UserError, match=rf"--layer 99: .* has {layers} layers; expected 0 to {layers}"):
        embed(encoder, TEXTS, pooling=Pooling().of_layer(99))


def test_the_record_says_which_pooling(bert_folder: Path, tmp_path: Path) -> None:
    path = shutil.copytree(bert_folder, tmp_path / "model")
    write_modules(path, "cls_token")
    encoder = load_encoder(str(path), masked_lm=False)
    pairs = [Pair(a, b) for a, b in zip(TEXTS[:6], TEXTS[6:], strict=True)]
    own, mean = (
        evaluate(encoder, from_pairs(pairs), pooling=pooling_of(str(path), c, encoder.device)) for c in ("own", "mean")
    )
    assert own.settings["pooling"] == "sentence-transformers: Pooling (cls), Normalize"
    assert (own.settings["max_length"], own.settings["query_prefix"]) == (20, "東京")
    assert mean.settings["pooling"] == MEAN
    assert (mean.settings["max_length"], mean.settings["query_prefix"]) == (48, "")
    assert pooling_of(str(bert_folder), "own", encoder.device).description == MEAN


def test_modules_that_are_not_run(bert_folder: Path, tmp_path: Path) -> None:
    path = shutil.copytree(bert_folder, tmp_path / "model")
    write_modules(path, "cls_token", kind="own_code")
    with pytest.raises(UserError, match=r"own_code\.Transformer: code of the model's own, which is not run"):
        pooling_of(str(path), "own", torch.device("cpu"))
    for content in ("{", "[]", "3", '[{"type": 3}]'):
        (path / "modules.json").write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=r"modules\.json"):
            pooling_of(str(path), "own", torch.device("cpu"))
