from collections.abc import Callable
from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.evals.record import Record, save_record
from anaume.report.inputs import read_inputs

RECORD = '{"model": "m", "task": "t", "metrics": %s, "n": 1, "settings": {}, "seed": 0}'

SETTINGS = '{"model": "m", "task": "t", "metrics": {}, "n": 1, "settings": [], "seed": 0}'


def test_checkpoints_come_in_the_order_of_the_run(run: Path) -> None:
    (entry,) = read_inputs([run])
    assert [(m.stage, m.step) for m in entry.checkpoints] == [
        ("short", 0),
        ("short", 9),
        ("short", 40),
        ("long", 20),
    ]
    assert [m.label for m in entry.milestones] == ["short, step 0", "short, step 40", "long, step 20"]
    assert [m.label for m in entry.others] == ["Edit distance", "Jaccard"]
    assert (entry.offset("short"), entry.offset("long")) == (0, 40)


def test_without_recipe_and_metrics_stages_are_ordered_by_tokens(tmp_path: Path) -> None:
    for stage, tokens in (("b", 100), ("a", 900), ("b", 500)):
        place = {"stage": stage, "step": tokens, "tokens": tokens}
        save_record(Record(f"{stage}{tokens}", "retrieval", {}, 1, {}, 0, checkpoint=place), tmp_path)
    (entry,) = read_inputs([tmp_path])
    assert [m.label for m in entry.checkpoints] == ["b, step 100", "b, step 500", "a, step 900"]


def test_a_checkpoint_is_placed_by_any_of_its_records(tmp_path: Path) -> None:
    for model, step in (("s-step-7", 7), ("s-step-5", 5)):
        save_record(Record(model, "jnli", {"accuracy": 0.5}, 1, {}, 0), tmp_path)  # fine-tuning doesn't know the run
        place = {"stage": "s", "step": step, "tokens": step}
        save_record(Record(model, "retrieval", {"recall_at_10": 0.5}, 1, {}, 0, checkpoint=place), tmp_path)
    (entry,) = read_inputs([tmp_path])
    assert [model.label for model in entry.checkpoints] == ["s, step 5", "s, step 7"]
    assert all(set(model.records) == {"jnli", "retrieval"} for model in entry.checkpoints)


def test_the_lexical_baselines_are_named_and_come_last(tmp_path: Path) -> None:
    for model in ("bm25", "zebra", "jaccard", "edit-distance"):
        settings = {"unit": "bigrams"} if model in ("bm25", "zebra") else {}
        save_record(Record(model, "retrieval", {"recall_at_10": 0.5}, 1, settings, 0), tmp_path)
    (entry,) = read_inputs([tmp_path])
    assert [model.label for model in entry.others] == ["zebra", "BM25 (bigrams)", "Edit distance", "Jaccard"]


def test_the_summary_of_the_training_tokens_is_read(run: Path) -> None:
    folder = run / "tokens" / "train"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text('{"documents": 3}')
    (entry,) = read_inputs([run])
    assert entry.summary == {"documents": 3}


def test_models_with_a_slash_are_found_and_hidden_files_are_not_read(tmp_path: Path) -> None:
    save_record(Record("tohoku-nlp/bert", "retrieval", {"recall_at_10": 0.74}, 9, {}, 0), tmp_path)
    hidden = tmp_path / ".tokens" / "abc" / "header.json"
    hidden.parent.mkdir(parents=True)
    hidden.write_text("{}")
    (entry,) = read_inputs([tmp_path])
    assert [m.label for m in entry.others] == ["tohoku-nlp/bert"]
    assert entry.others[0].metric("retrieval", "recall_at_10") == 0.74
    assert entry.others[0].metric("retrieval", "other") is None
    assert entry.others[0].metric("jglue", "jsts") is None


def test_several_sources_are_told_apart_and_shared_baselines_appear_once(
    make_run: Callable[..., Path],
) -> None:
    first, second = make_run("one"), make_run("two")
    save_record(Record("mine", "retrieval", {"recall_at_10": 0.1}, 1, {}, 0), first / "evals")
    save_record(Record("mine", "retrieval", {"recall_at_10": 0.2}, 1, {}, 0), second / "evals")
    first_input, second_input = read_inputs([first, second, first / "evals", first])
    assert (first_input.name, second_input.name) == ("箱庭", "箱庭 (2)")
    assert second_input.checkpoints[0].label == "箱庭 (2): short, step 0"
    assert [m.label for m in first_input.others] == ["箱庭: mine", "Edit distance", "Jaccard"]
    assert [m.label for m in second_input.others] == ["箱庭 (2): mine"]


def test_an_input_that_is_neither_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    for path in (tmp_path, tmp_path / "absent", tmp_path / "notes.txt"):
        with pytest.raises(
            UserError, match=r"neither a run directory nor evaluation records; expected .*recipe\.toml"
        ) as error:
            read_inputs([path])
        assert str(error.value).startswith(str(path))
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="no input; expected"):
        read_inputs([])


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("recipe.toml", "name = ", r"recipe\.toml: not a recipe .* expected TOML"),
        ("manifest.json", "{", r"manifest\.json: not a manifest .* expected a JSON object"),
        ("manifest.json", "[]", r"manifest\.json: \[\]: not a manifest; expected a JSON object"),
        ("tokens/train/summary.json", "[]", r"summary\.json: \[\]: not a summary; expected a JSON object"),
        ("evals/m/t.json", "{}", r"t\.json: not an evaluation record"),
        ("evals/m/t.json", RECORD % '{"a": "high"}', r"t\.json: a: 'high': not a number; expected a number"),
        ("evals/m/t.json", RECORD % "[]", r"t\.json: not an evaluation record; expected objects"),
        ("evals/m/t.json", SETTINGS, r"t\.json: not an evaluation record; expected objects in metrics, settings"),
    ],
)
def test_a_damaged_file_is_named(run: Path, file: str, text: str, message: str) -> None:
    (run / file).parent.mkdir(exist_ok=True, parents=True)
    (run / file).write_text(text)
    with pytest.raises(UserError, match=message):
        read_inputs([run])
