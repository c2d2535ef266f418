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


def test_validation_share_divides_the_training_sources(recipe_file: Path) -> None:
    text = recipe_file.read_text(encoding="utf-8")
    recipe_file.write_text(
        text.replace('[[corpus.validation]]\npath = "b.jsonl"', "").replace(
            "[[corpus.train]]", "[corpus]\nvalidation_share = 0.1\n[[corpus.train]]"
        ),
        encoding="utf-8",
    )
    corpus = load(recipe_file, ["corpus.train.0.weight=2.0", "corpus.train.0.text_field=content"]).corpus
    (train,), (validation,) = corpus.sources("train"), corpus.sources("validation")
    assert (train.hash_range, validation.hash_range) == ([0.0, 0.9], [0.9, 1.0])
    assert validation.model_copy(update={"hash_range": [0.0, 0.9]}) == train
    half = load(recipe_file, ["corpus.train.0.hash_range=[0.5, 1.0]"]).corpus
    assert [half.sources(split)[0].hash_range for split in ("train", "validation")] == [[0.5, 0.95], [0.95, 1.0]]
    with pytest.raises(UserError, match=r"corpus: validation_share = 0\.1: given with sources of validation text"):
        load(recipe_file, ["corpus.validation=[{path = 'b.jsonl'}]"])
    with pytest.raises(UserError, match="corpus: validation: missing; expected sources of validation text, or valid"):
        load(recipe_file, ["corpus.validation_share=0.0"])
    with pytest.raises(
        UserError, match=r"corpus: validation_share = 0\.1: a source of tokens has no text to choose by"
    ):
        load(recipe_file, ["corpus.train=[{tokens = 'tokens'}]"])


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
    changes = ["stage.0.steps=100", "stage.0.batch_tokens=26624", "stage.0.validate_every=500"]
    small = load(recipe_file, changes).stage[0]
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


@pytest.mark.parametrize("steps", [1, 7, 100, 5_000, 123_457, 500_000])
@pytest.mark.parametrize("length", [8, 128, 1024, 3000, 8192])
def test_defaults_fit_every_number_of_steps_and_length(recipe_file: Path, steps: int, length: int) -> None:
    stage = load(recipe_file, [f"stage.0.steps={steps}", f"stage.0.length={length}", "stage.0.packing=false"]).stage[0]
    assert stage.warmup_steps == round(0.048 * steps)
    assert stage.micro_batch_tokens % length == 0
    assert stage.save_every <= max(1, steps // 10)
    assert stage.keep_every % stage.save_every == 0


def test_defaults_scale_from_a_trial_to_the_papers_run(recipe_file: Path) -> None:
    def numbers(*changes: str) -> tuple[int, ...]:
        stage = load(recipe_file, changes).stage[0]
        batches = stage.warmup_steps, stage.batch_tokens, stage.micro_batch_tokens
        return *batches, stage.validate_every, stage.save_every, stage.keep_every

    assert numbers("stage.0.steps=100") == (5, 8192, 8192, 5, 10, 10)
    assert numbers("stage.0.steps=50_000") == (2400, 8 * 26_624, 26_624, 500, 1000, 5000)
    assert numbers() == (24_000, 3328 * 1024, 26 * 1024, 500, 1000, 50_000)
    assert numbers("stage.0.length=8192")[1:3] == (128 * 3 * 8192, 3 * 8192)


def test_one_key_of_the_batch_brings_the_other(recipe_file: Path) -> None:
    batch = load(recipe_file, ["stage.0.batch_tokens=32_768"]).stage[0]
    assert (batch.batch_tokens, batch.micro_batch_tokens) == (32_768, 16_384)
    micro_batch = load(recipe_file, ["stage.0.micro_batch_tokens=8_192"]).stage[0]
    assert (micro_batch.batch_tokens, micro_batch.micro_batch_tokens) == (256 * 8192, 8192)
    assert load(recipe_file, ["stage.0.save_every=7"]).stage[0].keep_every == 0


@pytest.mark.parametrize(
    ("hidden", "heads", "intermediate"), [(768, 12, 1152), (256, 4, 384), (30, 1, 45), (1000, 10, 1500)]
)
def test_the_width_brings_heads_and_intermediate(recipe_file: Path, hidden: int, heads: int, intermediate: int) -> None:
    model = load(recipe_file, [f"model.hidden={hidden}"]).model
    assert (model.heads, model.intermediate) == (heads, intermediate)


def test_a_resolved_recipe_keeps_its_own_numbers(recipe_file: Path) -> None:
    """A run begun when the defaults were others resumes with the numbers in its folder."""
    old = {"steps": 100_000, "warmup_steps": 24_000, "save_every": 1000, "keep_every": 0, "validate_every": 500}
    old |= {"batch_tokens": 3_407_872, "micro_batch_tokens": 26_624, "validation_tokens": 1_048_576}
    changes = [f"stage.0.{key}={value}" for key, value in old.items()]
    stage = load(recipe_file, changes).stage[0]
    assert {key: getattr(stage, key) for key in old} == old
    resolved = recipe_file.with_name("resolved.toml")
    resolved.write_text(to_toml(load(recipe_file, changes)), encoding="utf-8")
    assert load(resolved) == load(recipe_file, changes)


def test_every_text_that_a_recipe_holds_can_be_read_back(recipe_file: Path) -> None:
    recipe = load(recipe_file, ['corpus.train.0.path="a\\u007fb\\u0001\\\\u007f.jsonl"'])
    assert recipe.corpus.train[0].path == "a\x7fb\x01\\u007f.jsonl"
    resolved = recipe_file.with_name("resolved.toml")
    resolved.write_text(to_toml(recipe), encoding="utf-8")
    assert load(resolved) == recipe
