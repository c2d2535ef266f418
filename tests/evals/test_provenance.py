"""What records say they are of: equal for equal inputs, another for any change that could change a number."""

import hashlib
import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch

from anaume.encoder.embed import embed
from anaume.encoder.load import load_encoder, revision_of
from anaume.encoder.mteb import MtebEncoder
from anaume.errors import UserError
from anaume.evals.jglue.tasks import TASKS
from anaume.evals.jglue.trials import open_experiments
from anaume.evals.provenance import data_settings, stores_settings, texts_settings
from anaume.run import Run
from anaume.tokenizer.load import load_tokenizer
from anaume.tokens.build import open_stores

COMMIT = "0123456789abcdef" * 2 + "01234567"


def test_weights_of_a_folder(modernbert_folder: Path, tmp_path: Path) -> None:
    before = revision_of(str(modernbert_folder))
    copy = tmp_path / "copy"
    shutil.copytree(modernbert_folder, copy)
    (copy / "README.md").write_text("# A model card")
    assert revision_of(str(copy)) == before
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    assert revision_of(str(copy)) != before


def test_the_modules_of_sentence_transformers_count(modernbert_folder: Path, tmp_path: Path) -> None:
    """Other pooling, prompts or projections make another model; a damaged list of modules does not end the command."""
    folder = tmp_path / "copy"
    shutil.copytree(modernbert_folder, folder)
    revisions = [revision_of(str(folder))]
    (folder / "1_Pooling").mkdir()
    modules = [{"path": "", "type": "a.Transformer"}, {"path": "1_Pooling", "type": "a.Pooling"}]
    for name, content in (
        ("modules.json", json.dumps(modules)),
        ("1_Pooling/config.json", '{"pooling_mode_mean_tokens": true}'),
        ("1_Pooling/config.json", '{"pooling_mode_cls_token": true}'),
        ("sentence_bert_config.json", '{"max_seq_length": 64}'),
        ("config_sentence_transformers.json", '{"prompts": {"query": "検索: "}}'),
        ("modules.json", json.dumps([*modules, {"path": "..", "type": "a.Dense"}, {"path": ".", "type": "a.Dense"}])),
        ("modules.json", "[1"),
    ):
        (folder / name).write_text(content, encoding="utf-8")
        (folder / "README.md").write_text(content, encoding="utf-8")
        revisions.append(revision_of(str(folder)))
    assert len({*revisions}) == len(revisions)


def test_weights_of_the_hub(
    modernbert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jglue_folder: Path
) -> None:
    """A model of the Hub's cache, as a download leaves it: records name its commit."""
    repository = tmp_path / "models--owner--tiny"
    shutil.copytree(modernbert_folder, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    opened = load_encoder("owner/tiny", masked_lm=True)
    assert (opened.name, opened.revision) == ("owner/tiny", COMMIT)
    same = load_encoder(str(modernbert_folder), masked_lm=True)
    assert torch.equal(embed(opened, ["京都"]), embed(same, ["京都"]))
    meta = MtebEncoder("owner/tiny").mteb_model_meta
    assert meta
    assert meta.revision == COMMIT
    (experiment,) = open_experiments(["owner/tiny"], jglue_folder, [TASKS["jsts"]])
    assert experiment.identity["model"] == COMMIT


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"{}\n")
    assert data_settings(file) == {"data": "rows.jsonl", "sha256": hashlib.sha256(b"{}\n").hexdigest()}
    assert data_settings(None) == {}
    with pytest.raises(UserError, match=r"absent\.jsonl: no such file"):
        data_settings(tmp_path / "absent.jsonl")


def test_texts(tmp_path: Path) -> None:
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    a.write_text("一")
    pattern = str(tmp_path / "*.txt")
    first = texts_settings(pattern)
    assert first["texts"] == pattern
    b.write_text("二")
    two = texts_settings(pattern)
    b.write_text("三")
    other = texts_settings(pattern)
    assert len({settings["texts_sha256"] for settings in (first, two, other)}) == 3
    b.write_text("二")  # at another time: what counts is the content
    assert texts_settings(pattern) == two
    assert texts_settings("builtin:hakoniwa:train") != texts_settings("builtin:hakoniwa:validation")


@pytest.mark.slow
def test_tokens_of_a_run(straight: Run) -> None:
    loaded = load_tokenizer(straight.tokenizer)
    train, validation = (open_stores(straight.tokens(split), loaded) for split in ("train", "validation"))
    assert stores_settings(validation) == stores_settings(open_stores(straight.tokens("validation"), loaded))
    assert stores_settings(validation)["texts_sha256"] != stores_settings(train)["texts_sha256"]
