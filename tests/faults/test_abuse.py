"""Command lines as nobody should write them: every trial breaks a working command somewhere.

A trial is a number: it chooses a verb, and one to three damages of its words, its options or its input files. The
command ends within a minute, with a result or with one line, and never with a traceback. A number means another trial
once the table of `verbs.py` has changed.
"""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.faults import commands
from tests.faults.conftest import LONG, Work
from tests.faults.verbs import verbs

from anaume import cli

TRIALS = range(1000 if LONG else 12)
SECONDS = 60
# Options whose large values mean long work, or that need what a test has not; and those that end every command.
LEFT_ALONE = {"help", "fetch", "executor", "install_completion", "show_completion"}

TEXTS = [
    *("", " ", "x", "-", "--", "...", "*", "**/*", "[", "a,b", ",", "nan", "猫", "é" * 300, "a" * 5000, "\t\n", "\x7f"),
    *("\udc80\udcff", "../../..", "~", "$HOME", "/dev/null", "/dev/zero/x", "/proc/self/mem", "hub:", "hub:x:y:z:w"),
    *("builtin:", "builtin:nowhere", "{path = 1}", "{", "http://", "s3://nowhere/x", "file:///etc/passwd"),
    *("stage.0.steps=x", "=", "seed=", "stage.9.steps=1", "model.hidden=-1", "corpus=1", "stage=[]", "name=''"),
]
NUMBERS = ["-1", "0", "1", "3", "1e3", "0x10", "１２", str(2**31), str(2**63), str(10**30), "1.5", "", "x", "+1"]
FRACTIONS = ["-1", "0", "1e-300", "0.5", "1", "1e308", "1e999", "nan", "inf", "-inf", "x", "", "0,5", "½"]


def parameters(words: Sequence[str]) -> list[Any]:
    """The parameters that the command line's parser knows for this verb."""
    command: Any = typer.main.get_command(cli.app)
    for word in words:
        if not hasattr(command, "commands") or word not in command.commands:
            break
        command = command.commands[word]
    return [parameter for parameter in command.params if parameter.name not in LEFT_ALONE]


def hostile(parameter: Any, draw: random.Random) -> str:
    """A value that the type of a parameter hardly expects."""
    values = {int: NUMBERS, float: FRACTIONS}.get(parameter.type_descriptor.annotation, TEXTS)
    return draw.choice(values)


def damage_file(path: Path, draw: random.Random) -> None:
    """Change some bytes of a file: flipped, cut off, repeated, or with foreign text between."""
    content = bytearray(path.read_bytes())
    place = draw.randrange(len(content) + 1)
    match draw.randrange(5):
        case 0:
            content[place : place + 1] = draw.randbytes(1)
        case 1:
            del content[place:]
        case 2:
            content *= 2
        case 3:
            content[place:place] = draw.choice(TEXTS).encode(errors="surrogateescape")
        case _:
            content = bytearray(draw.randbytes(200))
    path.write_bytes(content)


def broken(words: list[str], folder: Path, draw: random.Random) -> list[str]:
    """The command after one to three damages."""
    known, start = parameters(words), 2 if words[0] in ("eval", "tokenizer", "recipe") else 1
    for _ in range(draw.randrange(1, 4)):
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size < 1 << 22]
        match draw.randrange(5):
            case 0 if known:
                parameter = draw.choice(known)
                option = max(parameter.opts, key=len)
                words += [option, hostile(parameter, draw)] if option.startswith("-") else [hostile(parameter, draw)]
            case 1 if len(words) > start:
                words[draw.randrange(start, len(words))] = draw.choice([*TEXTS, *NUMBERS])
            case 2 if len(words) > start + 1:
                del words[draw.randrange(start, len(words))]
            case 3 if len(words) > start:
                words[draw.randrange(start, len(words))] = str(draw.choice(files))
            case _:
                named = [path for path in files if any(str(path) in word for word in words)]
                damage_file(draw.choice(named or files), draw)
    return words


@pytest.mark.parametrize("trial", TRIALS)
def test_an_abuse_ends_in_a_result_or_in_one_line(trial: int, work: Work, tmp_path: Path) -> None:
    draw = random.Random(trial)
    words = broken(draw.choice(verbs(work, tmp_path)), tmp_path, draw)
    words = [word.replace("\0", "") for word in words]  # the kernel takes no NUL
    command = commands.start(words, tmp_path / "commands", {"OMP_NUM_THREADS": "1"})
    ended = command.wait(SECONDS)
    if ended is None:
        command.kill()
    assert ended is not None, f"still running: {words}"
    assert "Traceback" not in ended.err, (words, ended.err)
    assert ended.status in (0, 1, 2), (words, ended)
    if ended.status == 2:
        assert ended.err.strip().splitlines()[-1].startswith("anaume: "), (words, ended)


def test_the_verbs_work_undamaged(work: Work, tmp_path: Path) -> None:
    """Otherwise every trial would end in the same line."""
    for number, words in enumerate(verbs(work, tmp_path)):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        ended = commands.run(words, tmp_path / f"commands-{number}")
        assert ended.status == 0, (words, ended)
