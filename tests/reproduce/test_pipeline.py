"""The whole command on a tiny network and the built-in corpus: from an empty folder to the page, and again."""

from pathlib import Path
from typing import Any

import pytest

from anaume.errors import UserError
from anaume.evals import amounts, evaluate
from anaume.files.objects import read_object
from anaume.recipe import parse
from anaume.recipe.scaling import scaled_stage
from anaume.reproduce import sizes
from anaume.reproduce.inputs import Inputs
from anaume.reproduce.pipeline import reproduce
from anaume.run import CheckpointName, Run

RECIPE = """
name = "tiny"
seed = 5
[[corpus.train]]
builtin = "hakoniwa"
split = "train"
megabytes = 0.3
[[corpus.validation]]
builtin = "hakoniwa"
split = "validation"
megabytes = 0.1
[tokenizer]
train = 2048
[model]
layers = 3
hidden = 16
positions = 512
window = 16
[[stage]]
name = "stage1"
length = 128
steps = 50
batch_tokens = 512
micro_batch_tokens = 512
learning_rate = 1e-2
warmup_steps = 2
keep_steps = [5, 25]
keep_every = 50
keep_last = 1
[[stage]]
name = "stage2"
length = 512
steps = 20
batch_tokens = 512
micro_batch_tokens = 512
learning_rate = 1e-3
warmup_steps = 2
keep_every = 20
keep_last = 1
"""
CHECKPOINTS = [("stage1", step) for step in (0, 1, 5, 10)] + [("stage2", 4)]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe, which the hours shorten to a fifth, and amounts that need no forecast."""
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")

    def sized(tables: dict[str, Any], _hours: float) -> Any:
        stages = [scaled_stage(stage, 0.2) for stage in tables["stage"]]
        return parse(tables | {"stage": stages}, "tiny")

    monkeypatch.setattr(sizes, "sized", sized)
    monkeypatch.setattr(amounts, "choose_amounts", lambda *_: (dict(AMOUNTS), {"validation": 1.0}))
    return path


AMOUNTS = {"tokens": 2048, "documents": 2, "positions": 2, "data": None}


@pytest.mark.slow
def test_an_interrupted_command_goes_on_to_the_same_page(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = reproduce(Inputs(), tmp_path / "straight", 0.01, file=file)
    text = straight.read_text(encoding="utf-8")
    run = Run(tmp_path / "straight")
    assert run.checkpoints() == [CheckpointName(*place) for place in CHECKPOINTS]
    assert "| The paper's finding | Here |" in text
    assert text.count("![Figure") >= 5
    assert read_object(run.evals / amounts.FILE, "")["amounts"] == AMOUNTS

    calls = iter(range(100))
    measure = evaluate._evaluate_checkpoint

    def interrupted(*arguments: Any) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt
        measure(*arguments)

    monkeypatch.setattr(evaluate, "_evaluate_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reproduce(Inputs(), tmp_path / "again", 0.01, file=file)
    monkeypatch.setattr(amounts, "choose_amounts", lambda *_: pytest.fail("chosen again"))
    again = reproduce(Inputs(), tmp_path / "again", 0.01, file=file).read_text(encoding="utf-8")
    timed = "Training took about "
    assert again.partition(timed)[0] == text.partition(timed)[0]
    assert again.partition(timed)[2].partition("##")[2] == text.partition(timed)[2].partition("##")[2]
    with pytest.raises(UserError, match="seed = 6"):
        reproduce(Inputs(), tmp_path / "again", 0.01, seed=6, file=file)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (Inputs(validation=("v",)), "--validation: given without --text; expected both"),
        (Inputs(pairs=Path("absent")), "--pairs absent: no such file or folder; expected an existing one"),
    ],
)
def test_mistakes_are_told_before_the_work(inputs: Inputs, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        reproduce(inputs, tmp_path / "out", 3)
    assert not (tmp_path / "out").exists()
