"""Opening somebody's model: damage of every kind is one line, and no code of the model runs."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from anaume.encoder.load import load_encoder, revision_of
from anaume.errors import UserError
from anaume.files.outputs import output_folder
from anaume.finetune.examples import Head
from anaume.finetune.network import build_network
from anaume.model.opening import opening
from anaume.remote_code import VARIABLE, allow_remote_code


@pytest.fixture(params=["modernbert_folder", "bert_folder"])
def copied(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model's folder to damage."""
    return shutil.copytree(request.getfixturevalue(request.param), tmp_path / "model")


def change(file: Path, path: tuple[Any, ...], value: Any) -> None:
    """Set a value inside a JSON file."""
    document = json.loads(file.read_text(encoding="utf-8"))
    node = document
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    file.write_text(json.dumps(document), encoding="utf-8")


def refused(folder: Path) -> str:
    """The line with which the folder is refused."""
    with pytest.raises(UserError) as raised:
        load_encoder(str(folder), masked_lm=True)
    line = str(raised.value)
    assert str(folder) in line
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("file", "path", "value"),
    [
        ("config.json", ("hidden_size",), "x"),
        ("config.json", ("hidden_size",), None),
        ("config.json", ("hidden_size",), 64),
        ("config.json", ("num_attention_heads",), 0),
        ("config.json", ("num_attention_heads",), 5),
        ("config.json", ("num_hidden_layers",), {}),
        ("config.json", ("vocab_size",), -1),
        ("config.json", ("model_type",), "unheard-of"),
        ("config.json", ("model_type",), None),
        ("config.json", ("max_position_embeddings",), 1),
        ("tokenizer_config.json", ("model_max_length",), "x"),
        ("tokenizer_config.json", ("tokenizer_class",), 3),
        ("tokenizer.json", ("model",), []),
        ("tokenizer.json", ("model", "vocab"), {}),
        ("tokenizer.json", ("added_tokens", 0, "id"), -1),
        ("tokenizer.json", ("post_processor",), {"type": "TemplateProcessing"}),
    ],
)
def test_a_mistyped_or_absurd_value_is_one_line(copied: Path, file: str, path: tuple[Any, ...], value: Any) -> None:
    change(copied / file, path, value)
    refused(copied)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git-lfs"),
        ("tokenizer.json", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git-lfs"),
        ("model.safetensors", b"\x00" * 20, "can't be opened"),
        ("config.json", b"[1]", "not an object"),
        ("config.json", b"\xff{", "can't be opened"),
        ("config.json", b"[" * 100_000, "can't be opened"),
        ("tokenizer.json", b"{}", "can't be opened"),
    ],
)
def test_a_damaged_file_is_one_line(copied: Path, name: str, content: bytes, reason: str) -> None:
    (copied / name).write_bytes(content)
    assert reason in refused(copied)


def test_pickled_weights_are_never_executed(copied: Path, tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return Path.touch, (tmp_path / "executed",)

    (copied / "model.safetensors").unlink()
    (copied / "pytorch_model.bin").write_bytes(pickle.dumps(Attack()))
    refused(copied)
    torch.save({"weight": Attack()}, copied / "pytorch_model.bin")
    refused(copied)
    assert not (tmp_path / "executed").exists()


def test_code_of_a_model_is_neither_run_nor_asked_for(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on the terminal"))
    (copied / "own.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n", encoding="utf-8")
    change(copied / "tokenizer_config.json", ("auto_map",), {"AutoTokenizer": ["own.Own", None]})
    load_encoder(str(copied), masked_lm=True)  # with the tokenizer of transformers, which reads the same files
    change(copied / "config.json", ("auto_map",), {"AutoConfig": "own.Own", "AutoModelForMaskedLM": "own.Own"})
    change(copied / "config.json", ("model_type",), "own")
    refused(copied)
    assert not (tmp_path / "executed").exists()


OWN_CODE = """
from transformers import ModernBertConfig, ModernBertForMaskedLM

open({ran!r}, "w").close()


class OwnConfig(ModernBertConfig):
    model_type = "own"


class OwnModel(ModernBertForMaskedLM):
    config_class = OwnConfig
"""


def test_code_of_a_model_runs_where_it_is_allowed(
    modernbert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, ran = shutil.copytree(modernbert_folder, tmp_path / "model"), tmp_path / "executed"
    (folder / "own.py").write_text(OWN_CODE.format(ran=str(ran)), encoding="utf-8")
    change(
        folder / "config.json", ("auto_map",), {"AutoConfig": "own.OwnConfig", "AutoModelForMaskedLM": "own.OwnModel"}
    )
    change(folder / "config.json", ("model_type",), "own")
    refused(folder)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setenv(VARIABLE, "")  # restored at the end of the test
    allow_remote_code()
    before = revision_of(str(folder))
    assert type(load_encoder(str(folder), masked_lm=True).model).__name__ == "OwnModel"
    assert ran.exists()
    (folder / "own.py").write_text("changed = True", encoding="utf-8")
    assert revision_of(str(folder)) != before


def test_a_changed_file_of_a_folder_that_anaume_wrote(modernbert_folder: Path, tmp_path: Path) -> None:
    """Weights with one flipped bit open, and give other numbers."""
    out = tmp_path / "model"
    with output_folder(out, "export") as folder:
        shutil.copytree(modernbert_folder, folder, dirs_exist_ok=True)
    load_encoder(str(out), masked_lm=True)
    content = bytearray((out / "model.safetensors").read_bytes())
    content[-10] ^= 1
    (out / "model.safetensors").write_bytes(content)
    assert "model.safetensors: changed since it was written (checksum)" in refused(out)


def test_weights_of_another_shape_and_without_numbers(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    name = next(name for name in weights if "embeddings" in name and weights[name].dim() == 2)
    save_file(weights | {name: weights[name][:-3].clone()}, copied / "model.safetensors", {"format": "pt"})
    refused(copied)
    spoilt = weights[name].clone()
    spoilt[-1, 0] = torch.nan
    save_file(weights | {name: spoilt}, copied / "model.safetensors", {"format": "pt"})
    assert "are not finite" in refused(copied)


def test_a_tokenizer_with_more_entries_than_the_network(copied: Path) -> None:
    tokens = json.loads((copied / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    change(copied / "tokenizer.json", ("added_tokens",), [*tokens, tokens[-1] | {"id": 5_000, "content": "<new>"}])
    assert "network" in refused(copied)


def test_fine_tuning_opens_behind_the_same_guard(copied: Path) -> None:
    head, cpu = Head("jnli", "classes", 3), torch.device("cpu")
    change(copied / "config.json", ("hidden_size",), 64)
    with pytest.raises(UserError, match="fine-tuning on jnli: can't be opened"):
        build_network(str(copied), head, cpu)
    with pytest.raises(UserError, match="no such folder"):
        build_network(str(copied / "absent" / "model"), head, cpu)


def test_an_interruption_is_no_damage() -> None:
    with pytest.raises(KeyboardInterrupt), opening("model"):
        raise KeyboardInterrupt
    with pytest.raises(MemoryError), opening("model"):
        raise MemoryError
