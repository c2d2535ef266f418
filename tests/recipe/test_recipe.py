from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.recipe import Recipe, fingerprint, first_difference, load, to_toml

MINIMAL = """
name = "test"
[[corpus.train]]
path = "a.jsonl"
[[corpus.validation]]
path = "b.jsonl"
[tokenizer]
train = 1024
[[stage]]
name = "one"
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(MINIMAL, encoding="utf-8")
    return path


def test_the_defaults_are_the_papers(recipe_file: Path) -> None:
    recipe = load(recipe_file)
    stage = recipe.stage[0]
    model = recipe.model
    assert (model.layers, model.hidden, model.heads, model.intermediate) == (22, 768, 12, 1152)
    assert (stage.length, stage.steps, stage.batch_tokens) == (1024, 500_000, 3328 * 1024)
    assert (stage.learning_rate, stage.warmup_steps, stage.mask_rate, stage.rope_theta) == (5e-4, 24_000, 0.3, 10_000)


def test_changes_reach_lists_by_number_and_by_name(recipe_file: Path) -> None:
    changes = ["stage.0.steps=7", "stage.one.warmup_steps=3", "name=other", "corpus.train.0.path=x/*.jsonl", "seed=5"]
    recipe = load(recipe_file, [*changes, "stage.0.rope_theta=160000"])
    assert (recipe.stage[0].steps, recipe.stage[0].warmup_steps, recipe.name, recipe.seed) == (7, 3, "other", 5)
    assert recipe.corpus.train[0].path == "x/*.jsonl"
    assert recipe.stage[0].rope_theta == 160_000


def test_a_new_origin_forgets_what_was_said_of_the_old_one() -> None:
    small = Path(__file__).parents[2] / "recipes" / "small.toml"
    assert load(small).corpus.train[0].skip_documents == 1000
    (source,) = load(small, ["corpus.train.0.path=mine/*.jsonl"]).corpus.train
    assert (source.path, source.hub, source.subset, source.skip_documents, source.max_documents) == (
        "mine/*.jsonl",
        *("", "", 0, 0),
    )


def test_a_change_takes_the_place_of_its_alternatives(recipe_file: Path) -> None:
    recipe = load(recipe_file, ["tokenizer.adapt=some.model", "corpus.train.0.builtin=hakoniwa"])
    assert (recipe.tokenizer.adapt, recipe.tokenizer.train) == ("some.model", 0)
    assert (recipe.corpus.train[0].builtin, recipe.corpus.train[0].path) == ("hakoniwa", "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("stage.0.stepps=7", "unknown key 'stage.0.stepps'; accepted: name, length, steps"),
        ("colour=red", "unknown key 'colour'; accepted: name, seed, compile, precision, trackers, corpus"),
        ("model.depth=7", "unknown key 'model.depth'; accepted: layers"),
        ("corpus.train.0.glob=x", "unknown key 'corpus.train.0.glob'; accepted: path, hub"),
        ("stage.0.steps=many", 'stage.0.steps = "many": Input should be a valid integer'),
        ("stage.0.steps=0", "stage.0.steps = 0: Input should be greater than or equal to 1"),
        ("stage.0.mask_rate=1.5", "stage.0.mask_rate = 1.5: Input should be less than 1"),
        ("stage.0.learning_rate=inf", "stage.0.learning_rate = Infinity: Input should be a finite number"),
        ("stage.0.mask_rate=1e-6", "mask_rate = 1e-06: hides no token"),
        ("stage.0.schedule=step", "stage.0.schedule = \"step\": Input should be 'linear'"),
        ("stage.0.schedule=wsd", "decay_steps = 0: schedule 'wsd' needs it"),
        ("stage.0.decay_steps=5", "decay_steps = 5: schedule 'wsd' needs it, and no other takes it"),
        ("stage.0.final_learning_rate=1.0", "final_learning_rate = 1.0: at most learning_rate ="),
        ("trackers=['mlflow']", "trackers.0 = \"mlflow\": Input should be 'tensorboard'"),
        ("stage.0.mask_share=0.95", "mask_share = 0.95 and random_share = 0.1: together at most 1"),
        ("stage.0.mask_unit=letter", "stage.0.mask_unit = \"letter\": Input should be 'token', 'word' or 'span'"),
        ("stage.0.length_shares=[0.5,0.4]", "length_shares = [0.5, 0.4]: give 4 shares"),
        ("stage.0.length_shares=[0.5,0.5,0,0]", "no piece is longer than length = 1024"),
        ("model.heads=7", "heads = 7 with hidden = 768"),
        ("stage.0.length=16384", "length = 16384"),
        ("model.positions=512", "length = 1024 is above model.positions = 512"),
        ("stage.0.batch_tokens=1000", "batch_tokens = 1000: must be a multiple of micro_batch_tokens = 26624"),
        ("stage.0.micro_batch_tokens=512", "micro_batch_tokens = 512: a micro-batch must hold length = 1024"),
        ("stage.0.keep_steps=[1500]", "keep_steps: 1500: must be a multiple of save_every = 1000"),
        ("stage.0.name=a/b", "stage.0.name"),
        ("tokenizer.train=100", "512 entries or more"),
        ("stage.3.steps=1", "no entry '3'; accepted: 0, one"),
        ("steps", "give key=value"),
    ],
)
def test_a_mistake_is_one_line_that_names_key_value_and_what_is_accepted(
    recipe_file: Path, change: str, said: str
) -> None:
    with pytest.raises(UserError) as caught:
        load(recipe_file, [change])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.toml: cannot read"):
        load(tmp_path / "absent.toml")
    (tmp_path / "broken.toml").write_text("name = ", encoding="utf-8")
    with pytest.raises(UserError, match="not TOML"):
        load(tmp_path / "broken.toml")
    (tmp_path / "empty.toml").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="name is missing"):
        load(tmp_path / "empty.toml")


def test_two_stages_need_two_names(recipe_file: Path) -> None:
    recipe_file.write_text(MINIMAL + '[[stage]]\nname = "one"\n', encoding="utf-8")
    with pytest.raises(UserError, match="'one' is given twice"):
        load(recipe_file)


def test_resolved_recipe_reads_back_as_itself(recipe_file: Path, tmp_path: Path) -> None:
    recipe = load(recipe_file, ['name=quote " and 日本'])
    resolved = tmp_path / "resolved.toml"
    resolved.write_text(to_toml(recipe), encoding="utf-8")
    assert load(resolved) == recipe
    assert fingerprint(load(resolved)) == fingerprint(recipe)


def test_first_difference_names_the_key(recipe_file: Path) -> None:
    ours, theirs = load(recipe_file), load(recipe_file, ["stage.0.steps=30000"])
    assert first_difference(ours, ours, begun=1) == ""
    said = "stage.0.steps = 500000 there, stage.0.steps = 30000 here"
    assert first_difference(ours, theirs, begun=1) == said
    assert fingerprint(ours) != fingerprint(theirs)


@pytest.mark.parametrize(
    ("change", "begun", "said"),
    [
        ("seed=5", 0, "seed = 42 there, seed = 5 here"),
        ("corpus.train.0.weight=2.0", 0, "corpus.train.0.weight = 1.0 there"),
        ("stage.0.micro_batch_tokens=13312", 1, "stage.0.micro_batch_tokens = 26624 there"),
        ("stage.0.validation_tokens=7", 1, "stage.0.validation_tokens = 1048576 there"),
        (
            "stage.0.length_shares=[1.0,0,0,0]",
            1,
            "no stage.0.length_shares.0 there, stage.0.length_shares.0 = 1.0 here",
        ),
        ("stage.0.micro_batch_tokens=13312", 0, ""),
        ("stage.0.gradient_checkpointing=true", 1, ""),
        ("stage.0.keep_last=1", 1, ""),
        ("stage.0.keep_steps=[1000]", 1, ""),
        ("stage.0.validate_every=7", 1, ""),
        ("compile=false", 1, ""),
        ("trackers=['wandb']", 1, ""),
    ],
)
def test_a_run_may_change_what_changes_no_number_and_stages_to_come(
    recipe_file: Path, change: str, begun: int, said: str
) -> None:
    found = first_difference(load(recipe_file), load(recipe_file, [change]), begun)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_a_stage_may_follow_those_that_have_begun(recipe_file: Path) -> None:
    one = load(recipe_file)
    recipe_file.write_text(MINIMAL + '[[stage]]\nname = "two"\n', encoding="utf-8")
    two = load(recipe_file)
    assert first_difference(one, two, begun=1) == first_difference(two, one, begun=1) == ""
    assert first_difference(two, one, begun=2) == "stage.1.name = 'two' there, no stage.1.name here"


RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=[path.name for path in RECIPES])
def test_each_shipped_recipe_loads(path: Path) -> None:
    assert load(path).name == path.stem


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
