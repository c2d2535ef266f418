"""Reading a recipe, `--set`, and the errors."""

from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.recipe import load


def test_changes_reach_lists_by_number_and_by_name(recipe_file: Path) -> None:
    changes = ["stage.0.steps=7", "stage.one.warmup_steps=3", "name=other", "corpus.train.0.path=x/*.jsonl", "seed=5"]
    recipe = load(recipe_file, [*changes, "stage.0.rope_theta=160000"])
    assert (recipe.stage[0].steps, recipe.stage[0].warmup_steps, recipe.name, recipe.seed) == (7, 3, "other", 5)
    assert recipe.corpus.train[0].path == "x/*.jsonl"
    assert recipe.stage[0].rope_theta == 160_000


def test_a_new_origin_drops_the_options_of_the_old_one() -> None:
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
    ("change", "problem"),
    [
        (
            "stage.0.stepps=7",
            "stage.0.stepps: unknown key, did you mean 'steps'?; expected name, length, steps",
        ),
        ("seed=18446744073709551616", "seed = 18446744073709551616: not a valid value; expected a number less than"),
        (f"seed={'9' * 4000}", "seed: an integer of 13288 bits: not a valid value; expected"),
        ("model.layers=1000000000", "layers = 1000000000: not a valid value; expected a number less than or equal to"),
        ("model={layers=1000, hidden=65536}", "3.7e+13 weights, 584,116 GB in training"),
        ("stage.0.steps=1000000000000", "steps = 1000000000000: not a valid value; expected a number less than"),
        ("stage.0.learning_rate=1e38", "learning_rate = 1e+38: not a valid value; expected a number less than"),
        ("stage.0.adam_eps=1e-50", "adam_eps = 1e-50: not a valid value; expected a number greater than"),
        ('name="a\\u007fb"', "name: 'a\\x7fb': not printable; expected a line of text"),
        (f"name={'猫' * 79}", "name: 237 bytes in UTF-8: too long; expected at most 200"),
        ("colour=red", "colour: unknown key; expected name, seed, compile, precision, trackers, corpus"),
        ("model.depth=7", "model.depth: unknown key; expected layers"),
        ("corpus.train.0.glob=x", "corpus.train.0.glob: unknown key; expected path, hub"),
        ("stage.0.steps=many", 'stage.0.steps = "many": not a valid value; expected a valid integer'),
        ("stage.0.steps=0", "stage.0.steps = 0: not a valid value; expected a number greater than or equal to 1"),
        ("stage.0.mask_rate=1.5", "stage.0.mask_rate = 1.5: not a valid value; expected a number less than 1"),
        ("stage.0.learning_rate=inf", "stage.0.learning_rate = Infinity: not a valid value; expected a finite number"),
        ("stage.0.mask_rate=1e-6", "mask_rate = 1e-06: hides no token; expected at least one token of"),
        ("stage.0.schedule=step", "stage.0.schedule = \"step\": not a valid value; expected 'linear', 'cosine' or"),
        ("stage.0.decay_steps=5", "decay_steps = 5: does not fit schedule = 'linear'; expected 0"),
        (
            "stage.0.final_learning_rate=1.0",
            "final_learning_rate = 1.0: above the peak; expected at most learning_rate",
        ),
        ("trackers=['mlflow']", "trackers.0 = \"mlflow\": not a valid value; expected 'tensorboard', 'wandb' or"),
        ("stage.0.mask_share=0.95", "mask_share = 0.95 and random_share = 0.1: too large; expected a sum of at most 1"),
        ("stage.0.mask_unit=letter", "mask_unit = \"letter\": not a valid value; expected 'token', 'word' or 'span'"),
        ("stage.0.length_shares=[0.5,0.4]", "length_shares = [0.5, 0.4]: no shares of the bins; expected 4 numbers"),
        ("stage.0.length_shares=[0.5,0.5,0,0]", "no piece is longer than length = 1024; expected 0 for the bins above"),
        ("model.heads=7", "heads = 7 with hidden = 768: the heads do not fit; expected"),
        ("stage.0.length=16384", "length = 16384"),
        (
            "model.positions=512",
            "length = 1024: longer than the network's input; expected at most model.positions = 512",
        ),
        ("stage.0.batch_tokens=1000", "batch_tokens = 1000: no whole number of micro-batches; expected a multiple of"),
        ("stage.0.micro_batch_tokens=512", "micro_batch_tokens = 512: too small; expected at least length = 1024"),
        ("stage.0.keep_steps=[600000]", "step 600000 is not reached; expected from 1 to steps = 500000"),
        ("stage.0.name=a/b", 'stage.0.name = "a/b": not a valid value; expected text of the pattern'),
        ("stage=[]", "stage = []: not a valid value; expected at least 1 item"),
        ("name=", 'name = "": not a valid value; expected at least 1 character'),
        ("model=7", "model = 7: not a valid value; expected a table"),
        ("tokenizer.train=100", "train = 100: too small, for 256 entries are the bytes; expected 512 or more"),
        ("tokenizer.train=0", "tokenizer: no tokenizer; expected one of train, adapt, load"),
        ("corpus.train.0.path=", "corpus.train.0: no origin; expected one of path, hub, builtin, tokens"),
        ("corpus.train=[{path='a', hub='b'}]", "corpus.train.0: path, hub: more than one origin; expected one of path"),
        ("stage.3.steps=1", "--set stage.3.steps=1: no entry '3'; expected 0, one"),
        ("name.first=1", "--set name.first=1: 'name' is a value; expected a table"),
        ("steps", "--set steps: not a change; expected key=value"),
    ],
)
def test_a_mistake_is_one_line_of_place_key_value_and_what_is_expected(
    recipe_file: Path, change: str, problem: str
) -> None:
    with pytest.raises(UserError) as caught:
        load(recipe_file, [change])
    assert problem in str(caught.value)
    assert str(caught.value).startswith(("--set", str(recipe_file)))
    assert "\n" not in str(caught.value)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.toml: cannot read"):
        load(tmp_path / "absent.toml")
    (tmp_path / "broken.toml").write_text("name = ", encoding="utf-8")
    with pytest.raises(UserError, match="not TOML"):
        load(tmp_path / "broken.toml")
    (tmp_path / "empty.toml").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="name: missing; expected a value"):
        load(tmp_path / "empty.toml")


def test_two_stages_need_two_names(recipe_file: Path) -> None:
    recipe_file.write_text(recipe_file.read_text(encoding="utf-8") + '[[stage]]\nname = "one"\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"stage\.name = 'one': given twice; expected a name of its own"):
        load(recipe_file)


def test_a_byte_order_mark_begins_a_recipe_of_a_windows_editor(recipe_file: Path) -> None:
    expected = load(recipe_file)
    recipe_file.write_bytes(b"\xef\xbb\xbf" + recipe_file.read_bytes().replace(b"\n", b"\r\n"))
    assert load(recipe_file) == expected
