"""One changed byte of a run or a model: a command answers with the numbers of the whole files, or with one line.

A trial is a number: it chooses a command of `verbs.py` that reads a run or a model, a file of it, and a byte. What
people may edit, a card, is left out.
"""

import hashlib
import json
import random
from pathlib import Path

import pytest
from tests.faults import commands
from tests.faults.conftest import LONG, Work
from tests.faults.test_files import check
from tests.faults.verbs import verbs

TRIALS = range(300 if LONG else 6)
# Files of numbers, which are equal whenever the command is repeated.
EXACT = ("*.safetensors", "*.bin", "tokenizer.json", "tables/*.md")
FOR_PEOPLE = {"README.md", "index.html"}

Numbers = dict[str, object]


def numbers(folder: Path, ended: commands.Ended) -> Numbers:
    """What a command computed: the metrics of its records, its files of numbers, and what it printed without --out."""
    out = folder / "out"
    outputs: Numbers = {}
    for path in out.rglob("*"):
        name = str(path.relative_to(out))
        if name.startswith(".") or not path.is_file():  # caches are named after the place of their texts
            continue
        if any(path.match(pattern) for pattern in EXACT):
            outputs[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.suffix == ".json" and "metrics" in (table := json.loads(path.read_text("utf-8"))):
            outputs[name] = table["metrics"]
    return outputs or {"printed": ended.out.replace(str(folder), "")}


@pytest.fixture(scope="module")
def whole() -> dict[int, Numbers]:
    """The numbers of the commands with whole files; the trials that need them compute them."""
    return {}


@pytest.mark.parametrize("trial", TRIALS)
def test_a_changed_byte_gives_no_other_number(
    trial: int, work: Work, whole: dict[int, Numbers], tmp_path: Path
) -> None:
    draw = random.Random(f"byte {trial}")
    table = verbs(work, tmp_path / "damaged")
    row = draw.choice([i for i, words in enumerate(table) if _read(words, tmp_path / "damaged")])
    if row not in whole:
        words = verbs(work, tmp_path / "whole")[row]
        ended = commands.run(words, tmp_path / "commands", {"OMP_NUM_THREADS": "1"})
        assert ended.status == 0, (words, ended)
        whole[row] = numbers(tmp_path / "whole", ended)

    words = table[row]
    place = draw.choice(_read(words, tmp_path / "damaged"))
    files = [path for path in sorted(place.rglob("*")) if path.is_file() and path.stat().st_size]
    file = draw.choice([path for path in files if path.name not in FOR_PEOPLE])
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)
    ended = commands.run(words, tmp_path / "commands", {"OMP_NUM_THREADS": "1"})
    check(ended, list(words))
    if ended.status == 0:
        computed = numbers(tmp_path / "damaged", ended)
        assert computed.items() <= whole[row].items(), (words, file)
        if computed != whole[row]:  # a report may leave a table out, and says so
            assert file.name in ended.err, (words, file)


def _read(words: list[str], folder: Path) -> list[Path]:
    """The run and the models that a command reads."""
    places = [folder / name for name in ("run", "model")]
    return [place for place in places if str(place) in words]
