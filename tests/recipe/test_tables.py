"""The defaults and the shipped recipes."""

from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.recipe import Recipe, load, to_toml

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


def test_the_defaults_are_the_papers(recipe_file: Path) -> None:
    recipe = load(recipe_file)
    stage = recipe.stage[0]
    model = recipe.model
    assert (model.layers, model.hidden, model.heads, model.intermediate) == (22, 768, 12, 1152)
    assert (stage.length, stage.steps, stage.batch_tokens) == (1024, 500_000, 3328 * 1024)
    assert (stage.learning_rate, stage.warmup_steps, stage.mask_rate, stage.rope_theta) == (5e-4, 24_000, 0.3, 10_000)


@pytest.mark.parametrize("path", RECIPES, ids=[path.name for path in RECIPES])
def test_each_shipped_recipe_loads(path: Path) -> None:
    assert load(path).name == path.stem


def test_moments_are_kept_only_from_a_stage_with_the_same_optimizer(recipe_file: Path) -> None:
    with pytest.raises(UserError, match="stage 'one': keep_moments = true: no stage before it has the moments"):
        load(recipe_file, ["stage.0.keep_moments=true"])


def test_only_a_causal_stage_has_causal_targets(recipe_file: Path) -> None:
    assert load(recipe_file, ["stage.0.objective=causal", "stage.0.causal_targets=0.3"]).stage[0].causal_targets == 0.3
    with pytest.raises(UserError, match=r"causal_targets = 0\.3: only a causal stage reads it"):
        load(recipe_file, ["stage.0.causal_targets=0.3"])


def test_validation_is_a_twentieth_of_training_unless_the_recipe_says_otherwise(recipe_file: Path) -> None:
    paper = load(recipe_file).stage[0]
    assert paper.validation_tokens == 1_048_576
    small = load(recipe_file, ["stage.0.steps=100", "stage.0.warmup_steps=5", "stage.0.batch_tokens=26624"]).stage[0]
    # Validation at step 0 and at step 100; a token costs a third of what it costs in training.
    assert 2 * small.validation_tokens / 3 == pytest.approx(0.05 * 100 * 26_624, rel=0.01)
    assert load(recipe_file, ["stage.0.validation_tokens=77"]).stage[0].validation_tokens == 77
    resolved = recipe_file.with_name("resolved.toml")
    resolved.write_text(to_toml(load(recipe_file)), encoding="utf-8")
    assert load(resolved) == load(recipe_file)


def test_llm_jp_base_is_the_papers_run() -> None:
    """arXiv 2504.15544, Table 1 and section 3, figure by figure."""
    recipe: Recipe = load(Path(__file__).parents[2] / "recipes" / "llm-jp-base.toml")
    first, second = recipe.stage
    model = recipe.model
    assert (model.layers, model.hidden, model.heads, model.intermediate) == (22, 768, 12, 1152)
    assert (recipe.model.global_every, recipe.model.window, recipe.model.positions) == (3, 128, 8192)
    assert [stage.length for stage in recipe.stage] == [1024, 8192]
    assert [stage.steps for stage in recipe.stage] == [500_000, 200_000]
    assert [stage.learning_rate for stage in recipe.stage] == [5e-4, 5e-5]
    assert first.batch_tokens == 3328 * 1024
    assert second.batch_tokens == 384 * 8192
    assert first.micro_batch_tokens == 26 * 1024
    assert second.micro_batch_tokens == 3 * 8192
    # 16 GPUs × 8 accumulations
    assert [stage.batch_tokens // stage.micro_batch_tokens for stage in recipe.stage] == [128, 128]
    for stage in recipe.stage:
        assert (stage.warmup_steps, stage.schedule) == (24_000, "linear")
        assert (stage.adam_beta1, stage.adam_beta2, stage.adam_eps) == (0.9, 0.98, 1e-6)
        assert (stage.weight_decay, stage.gradient_clip, stage.mask_rate) == (1e-5, 1.0, 0.3)
        assert (stage.documents, stage.packing, stage.rope_theta) == ("truncate", False, 10_000)
    # 1.7T and about 0.6T token slots
    slots = [stage.batch_tokens * stage.steps for stage in recipe.stage]
    assert round(slots[0] / 1e12, 1) == 1.7
    assert round(slots[1] / 1e12, 2) == 0.63
