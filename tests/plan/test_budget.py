"""A recipe for a number of hours: it loads, and its forecast fits the hours."""

import tomllib
from pathlib import Path

import pytest
from transformers import AutoConfig

from anaume import recipe as recipes
from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.model.flops import Device
from anaume.plan import cost
from anaume.plan.budget import SHAPES, TOKENS_PER_PARAMETER, TRAINING, Machine, new_recipe
from anaume.plan.result import Plan

CORPUS = [Source(path='data/"quoted" 本/*.jsonl'), Source(hub="owner/name", text_field="content", weight=0.5)]
LAPTOP, CLUSTER = Machine("cpu"), Machine("h100", 16)


@pytest.fixture(autouse=True)
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor of 150 GFLOP/s, so that nothing is timed."""
    monkeypatch.setattr(cost, "this_cpu", lambda _: Device("CPU", 150e9, 16))


def hours_of(planned: Plan) -> float:
    return sum(way.seconds / 3600 for stage in planned.stages for way in stage.ways if way.name == stage.own_way)


@pytest.mark.parametrize(("machine", "hours"), [(LAPTOP, 0.5), (LAPTOP, 2), (LAPTOP, 40), (CLUSTER, 1), (CLUSTER, 300)])
def test_the_forecast_fits_the_hours(machine: Machine, hours: float, tmp_path: Path) -> None:
    text, planned = new_recipe("mine", CORPUS, machine, hours)
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    recipe = recipes.load(file)
    assert recipe.corpus.train == CORPUS
    again = cost.plan(recipe, recipe.tokenizer.train, machine.device, machine.gpus, [machine.mfu])
    assert again.stages == planned.stages
    assert 0.9 * TRAINING * hours < hours_of(planned) <= TRAINING * hours
    assert [stage.length for stage in recipe.stage] == [1024, 8192]


def test_the_model_is_the_largest_with_enough_tokens_for_its_parameters() -> None:
    widths = []
    for hours in (0.5, 200, 20_000):
        text, planned = new_recipe("mine", CORPUS, LAPTOP, hours)
        body = planned.parameters.matrices + planned.parameters.vectors
        assert sum(stage.text_tokens for stage in planned.stages) >= TOKENS_PER_PARAMETER * body or hours == 0.5
        widths.append(tomllib.loads(text)["model"]["hidden"])
    assert widths == sorted(set(widths))
    assert widths[0] == SHAPES[-1].hidden


def test_a_checkpoint_brings_its_shape_and_tokenizer(modernbert_folder: Path) -> None:
    text, planned = new_recipe("mine", CORPUS, LAPTOP, 1, init=str(modernbert_folder))
    table = tomllib.loads(text)
    assert table["model"] == {"init": str(modernbert_folder)}
    assert "tokenizer" not in table
    config = AutoConfig.from_pretrained(modernbert_folder)
    assert planned.parameters.vocabulary == config.vocab_size * config.hidden_size


def test_a_tokenizer_is_adapted() -> None:
    text, _ = new_recipe("mine", CORPUS, CLUSTER, 10, tokenizer="llm-jp/llm-jp-3-1.8b")
    assert tomllib.loads(text)["tokenizer"] == {"adapt": "llm-jp/llm-jp-3-1.8b"}


def test_too_few_hours_are_one_line() -> None:
    with pytest.raises(
        UserError, match=r"--hours 0.001: too short for 100 steps of the smallest model on cpu; expected"
    ):
        new_recipe("mine", CORPUS, LAPTOP, 0.001)
