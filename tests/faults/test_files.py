"""Damaged files: every file of a run and of an export × every kind of damage × the verbs that read it.

A verb answers with one line and exit status 1 or 2, or with the numbers of the undamaged files. It never ends in a
traceback, and never writes other weights.
"""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests.faults import commands
from tests.faults.conftest import LONG, Work

from anaume.run import Run


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(file: Path) -> None:
    """Another bit in the middle, where the content is, and not in the padding of a header."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x10
    file.write_bytes(content)


def noise(file: Path) -> None:
    file.write_bytes(random.Random(0).randbytes(300))


def other_type(file: Path) -> None:
    file.write_text("[1, 2]\n", encoding="utf-8")


def other_values(file: Path) -> None:
    """JSON of the right keys and wrong types; other files get a word."""
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        table = None
    wrong = {key: "x" if not isinstance(value, str) else -1 for key, value in table.items()} if table else "x"
    file.write_text(json.dumps(wrong), encoding="utf-8")


def remove(file: Path) -> None:
    file.unlink()


def folder_in_its_place(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: list[Callable[[Path], None]] = [
    truncate,
    empty,
    flip,
    noise,
    other_type,
    other_values,
    remove,
    folder_in_its_place,
]
LAST = "checkpoints/second/step-0000004"
RUN_FILES = [
    "recipe.toml",
    "manifest.json",
    "network.json",
    "metrics.jsonl",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/origin.json",
    "tokens/train/sources.json",
    "tokens/train/source-0/header.json",
    "tokens/train/source-0/*/header.json",
    "tokens/train/source-0/*/ids.bin",
    f"{LAST}/model.safetensors",
    f"{LAST}/optimizer.safetensors",
    f"{LAST}/state.json",
]
EXPORT_FILES = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "modules.json",
    "1_Pooling/config.json",
    "anaume.json",
]


def chosen(files: list[str], number: int) -> list[tuple[str, Callable[[Path], None]]]:
    """All pairs of a file and a damage in the long form, and `number` of them otherwise."""
    pairs = [(file, damage) for file in files for damage in DAMAGES]
    return pairs if LONG else random.Random(1).sample(pairs, number)


def named(value: object) -> str:
    return getattr(value, "__name__", str(value))


def check(ended: commands.Ended, words: list[object]) -> None:
    """A command ended well, or with a mistake of one line."""
    assert "Traceback" not in ended.err, (words, ended.err)
    assert ended.status in (0, 1, 2), (words, ended)
    if ended.status:
        lines = ended.err.strip().splitlines() or ended.out.strip().splitlines()  # verify prints its finding
        assert lines, (words, ended)
        assert words[0] == "verify" or lines[-1].startswith("anaume: "), (words, ended)


def weights(folder: Path) -> dict[str, object]:
    return {name: tensor.tolist() for name, tensor in load_file(folder / "model.safetensors").items()}


@pytest.mark.parametrize(("name", "damage"), chosen(RUN_FILES, 8), ids=named)
def test_a_damaged_run(name: str, damage: Callable[[Path], None], work: Work, tmp_path: Path) -> None:
    run = Run(shutil.copytree(work.run.folder, tmp_path / "run"))
    (file,) = run.folder.glob(name)
    damage(file)
    verbs: list[list[object]] = [
        ["verify", run.folder],
        ["export", run.folder, "--out", tmp_path / "export"],
        ["report", run.folder, "--out", tmp_path / "report"],
        ["batch", run.folder, "--stage", "first", "--step", 1],
        ["eval", "all", run.folder],
        # One step more than the run has: it continues from the last checkpoint that is whole.
        ["pretrain", work.recipe_file, "--run", run.folder, "--set", "stage.second.steps=5"],
    ]
    for words in verbs:
        ended = commands.run(words, tmp_path / "commands")
        check(ended, words)
        if words[0] == "export" and ended.status == 0:
            assert weights(tmp_path / "export") == weights(work.export)


@pytest.mark.parametrize(("name", "damage"), chosen(EXPORT_FILES, 6), ids=named)
def test_a_damaged_export(name: str, damage: Callable[[Path], None], work: Work, tmp_path: Path) -> None:
    export = shutil.copytree(work.export, tmp_path / "export")
    assert (export / name).is_file(), name
    damage(export / name)
    verbs: list[list[object]] = [
        ["verify", export],
        ["eval", "fill-mask", export, "--cloze", work.tasks / "cloze.jsonl", "--out", tmp_path / "evals"],
        ["eval", "retrieval", export, "--pairs", work.tasks / "pairs.jsonl", "--out", tmp_path / "evals"],
        ["report", tmp_path / "evals", "--out", tmp_path / "report"],
    ]
    for words in verbs:
        check(commands.run(words, tmp_path / "commands"), words)
