"""A mistake is told before anything heavy is imported, which takes seconds: no torch, transformers or datasets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from anaume.recipe import Recipe, to_toml
from anaume.run import Run

CHILD = """
import json, sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "transformers", "datasets", "sentence_transformers"):
            raise AssertionError(f"{name} is imported")

sys.meta_path.insert(0, Blocked())
from anaume import cli
for words in json.load(sys.stdin):
    sys.argv = ["anaume", *words]
    try:
        cli.main()
    except SystemExit as stop:
        print(f"status {stop.code}", file=sys.stderr)
    except Exception as error:
        print(f"anaume: {error!r}\\nstatus 0", file=sys.stderr)
"""
NOWHERE = "no/where/x"
# The words after `anaume`, and a part of the line that is expected.
MISTAKES = {
    f"tokens TEXT --tokenizer {NOWHERE} --out OUT": f"tokenizer {NOWHERE}: no such folder",
    f"tokens {NOWHERE}.txt --tokenizer TOKENIZER --out OUT": f"corpus {NOWHERE}.txt: matches no file",
    f"tokenizer train {NOWHERE}.txt --vocab-size 600 --out OUT": f"corpus {NOWHERE}.txt: matches no file",
    f"tokenizer adapt {NOWHERE} --out OUT": f"tokenizer {NOWHERE}: no such folder",
    f"tokenizer extend {NOWHERE} TEXT --add 5 --out OUT": f"tokenizer {NOWHERE}: no such folder",
    f"pairs miracl-ja --data {NOWHERE} --out OUT": f"{NOWHERE}/",
    f"overlap TEXT --against {NOWHERE}": f"--against {NOWHERE}",
    f"pretrain {NOWHERE}.toml --run OUT": f"{NOWHERE}.toml: cannot read the recipe",
    f"pretrain RECIPE --run OUT --set corpus.train.0.path={NOWHERE}": f"corpus {NOWHERE}: matches no file",
    f"pretrain RECIPE --run OUT --set tokenizer.load={NOWHERE}": f"tokenizer {NOWHERE}: no such folder",
    f"pretrain INIT --run OUT --set model.init={NOWHERE}": f"{NOWHERE}: no such folder",
    "pretrain INIT --run OUT --set model.init=owner/name": "owner/name: no such folder, and the Hub is switched off",
    f"batch {NOWHERE} --stage first --step 1": f"{NOWHERE}: not a run directory",
    f"export {NOWHERE} --out OUT": f"{NOWHERE}: not a run directory",
    "export RUN --out OUT --step 77": "stage any, step 77: no such checkpoint",
    "export RUN --out OUT --average 99": "--average 99: too few checkpoints",
    "export RUN --out FULL": "not empty",
    f"contrast {NOWHERE} --pairs PAIRS --out OUT": f"{NOWHERE}: no such folder",
    f"contrast MODEL --pairs {NOWHERE} --out OUT": f"{NOWHERE}: ",
    "contrast MODEL --pairs PAIRS --dimensions x --out OUT": "--dimensions",
    "contrast MODEL --pairs PAIRS --out FULL": "not empty",
    f"finetune {NOWHERE} PAIRS --out OUT": f"{NOWHERE}: no such folder",
    f"finetune MODEL {NOWHERE}.csv --out OUT": f"{NOWHERE}.csv: no such file",
    "finetune MODEL PAIRS --out FULL": "not empty",
    f"report {NOWHERE} --out OUT": "neither a run directory nor evaluation records",
    f"reproduce --text {NOWHERE} --out OUT": f"corpus {NOWHERE}: matches no file",
    f"play {NOWHERE}": f"{NOWHERE}: no such folder",
    "plan RECIPE --gpus 1 --device h1000": "--device h1000: unknown",
    f"plan INIT --gpus 1 --set model.init={NOWHERE}": f"{NOWHERE}: no such folder",
    f"bench {NOWHERE}.toml": f"{NOWHERE}.toml: cannot read the recipe",
    f"bench --corpus {NOWHERE}": f"corpus {NOWHERE}: matches no file",
    f"bench --tokenizer {NOWHERE}": f"tokenizer {NOWHERE}: no such folder",
    "bench RECIPE --stage third": "--stage third: not in the recipe",
    f"recipe new {NOWHERE} --hours 1 --out OUT": f"corpus {NOWHERE}: matches no file",
    f"recipe new TEXT --hours 1 --init {NOWHERE} --out OUT": f"{NOWHERE}: no such folder",
    "recipe new TEXT --hours 1 --device h1000 --out OUT": "--device h1000: unknown",
    f"eval all {NOWHERE}": f"{NOWHERE}: not a run directory",
    f"eval all RUN --cloze {NOWHERE}": f"--cloze {NOWHERE}: no such file or folder",
    f"eval validation {NOWHERE} --texts TEXT --out OUT": f"{NOWHERE}: no such folder",
    f"eval validation MODEL --texts {NOWHERE} --out OUT": f"corpus {NOWHERE}: matches no file",
    f"eval retrieval MODEL --pairs {NOWHERE} --out OUT": f"--pairs {NOWHERE}: no such file or folder",
    f"eval retrieval {NOWHERE} {NOWHERE}2 --pairs PAIRS --out OUT": f"{NOWHERE}: no such folder",
    f"eval fill-mask {NOWHERE} --text [MASK]": f"{NOWHERE}: no such folder",
    f"eval jglue MODEL --data {NOWHERE} --out OUT": f"--data {NOWHERE}: no such file or folder",
    f"eval ner MODEL --entities {NOWHERE} --out OUT": f"--entities {NOWHERE}: no such file or folder",
}


@pytest.mark.slow
def test_mistakes_are_told_before_anything_heavy_is_imported(tiny: Recipe, straight: Run, tmp_path: Path) -> None:
    places = {
        name: str(tmp_path / name.lower()) for name in ("OUT", "FULL", "MODEL", "PAIRS", "TEXT", "RECIPE", "INIT")
    }
    places |= {"RUN": str(straight.folder), "TOKENIZER": str(straight.tokenizer), "TEXT": places["TEXT"] + ".txt"}
    for name in ("FULL", "MODEL"):
        Path(places[name]).mkdir()
        (Path(places[name]) / "config.json").write_text("{}", encoding="utf-8")
    Path(places["TEXT"]).write_text("a text\n", encoding="utf-8")
    lines = [{"query": f"question {i}", "positive": f"answer {i}"} for i in range(3)]
    Path(places["PAIRS"]).write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    Path(places["RECIPE"]).write_text(to_toml(tiny), encoding="utf-8")
    without = {"tokenizer", "model"}
    continued = Recipe.model_validate(tiny.model_dump(exclude=without) | {"model": {"init": str(tmp_path / "model")}})
    Path(places["INIT"]).write_text(to_toml(continued), encoding="utf-8")

    commands = [[places.get(word, word) for word in mistake.split()] for mistake in MISTAKES]
    child = subprocess.run(
        [sys.executable, "-c", CHILD], input=json.dumps(commands), capture_output=True, text=True, check=True
    )

    told = [part.strip() for part in child.stderr.split("status 2")]
    assert told.pop() == ""
    assert dict(zip(MISTAKES, told, strict=True)) == {
        mistake: line for (mistake, expected), line in zip(MISTAKES.items(), told, strict=True) if expected in line
    }
    assert not Path(places["OUT"]).exists()
