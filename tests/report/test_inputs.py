import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anaume.errors import UserError
from anaume.evals.record import Record, save_record
from anaume.recipe.compare import file_fingerprint
from anaume.report.inputs import read_inputs
from anaume.report.section import Page
from anaume.report.sections import PAGE

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


def test_checkpoints_of_two_runs_in_one_folder_are_two_inputs(tmp_path: Path) -> None:
    """Their stages have the same names. A run keeps its records of fine-tuning, which do not name the run."""
    for run, score in (("x", 0.5), ("y", 0.75)):
        for step in (1, 2):
            place = {"stage": "s", "step": step, "tokens": step, "run": run}
            record = Record(f"{run}-s-step-{step}", "retrieval", {"recall_at_10": score + step / 100}, 1, {}, 0)
            save_record(replace(record, checkpoint=place), tmp_path)
    save_record(Record("y-s-step-2", "jnli", {"accuracy": 0.5}, 1, {}, 0), tmp_path)
    save_record(Record("bm25", "retrieval", {"recall_at_10": 0.25}, 1, {}, 0), tmp_path)
    x, y, others = read_inputs([tmp_path])
    assert (x.name, y.name, others.name) == ("x", "y", tmp_path.name)
    assert x.over_checkpoints("retrieval", "recall_at_10") == [(1, 0.51), (2, 0.52)]
    assert y.over_checkpoints("retrieval", "recall_at_10") == [(1, 0.76), (2, 0.77)]
    assert [model.label for model in y.checkpoints] == ["y: s, step 1", "y: s, step 2"]
    assert set(y.checkpoints[1].records) == {"retrieval", "jnli"}
    assert [model.label for model in others.others] == ["BM25"]


def test_checkpoints_of_another_run_are_no_part_of_a_runs_curve(run: Path) -> None:
    place = {"stage": "short", "step": 20, "tokens": 1, "run": "other"}
    save_record(Record("other-short-step-20", "retrieval", {}, 1, {}, 0, checkpoint=place), run / "evals")
    (entry,) = read_inputs([run])
    assert [(m.stage, m.step) for m in entry.checkpoints] == [("short", 0), ("short", 9), ("short", 40), ("long", 20)]
    assert "other-short-step-20" in [model.label for model in entry.others]


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
        ("evals/m/t.json", "{}", r"t\.json: lacks 'model': not an evaluation record"),
        ("evals/m/t.json", RECORD % '{"a": "high"}', r"t\.json: a = 'high': not a number; expected a number"),
        ("evals/m/t.json", RECORD % "[]", r"t\.json: metrics = \[\]: not an evaluation record; expected dict"),
        ("evals/m/t.json", SETTINGS, r"t\.json: settings = .*: not an evaluation record; expected dict"),
        ("recipe.toml", "stage = 3", r"recipe\.toml: stage = 3: not a recipe; expected tables"),
        ("metrics.jsonl", '[1]\n{"kind": "x", "stage": "s"}\n', r"metrics\.jsonl:1: .*: not a metrics line"),
    ],
)
def test_a_damaged_file_is_left_out_and_named(run: Path, file: str, text: str, message: str) -> None:
    (run / file).parent.mkdir(exist_ok=True, parents=True)
    (run / file).write_text(text)
    (entry,) = read_inputs([run])
    assert len(entry.left_out) == 1
    assert re.search(message, entry.left_out[0])
    assert len(entry.checkpoints) == 4


def test_a_recipe_that_was_changed_is_left_out_and_named(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    manifest |= {"recipe_hash": file_fingerprint(run / "recipe.toml")}
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (whole,) = read_inputs([run])
    assert whole.recipe
    assert whole.left_out == ()
    text = (run / "recipe.toml").read_text(encoding="utf-8")
    (run / "recipe.toml").write_text(text.replace("hidden = 128", "hidden = 129"), encoding="utf-8")
    (changed,) = read_inputs([run])
    assert changed.recipe == {}
    assert re.search(r"recipe\.toml: changed since the run wrote it", changed.left_out[0])


def test_a_folder_of_damaged_records_only_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "t.json").write_text("{")
    with pytest.raises(UserError, match=r"t\.json: not an evaluation record"):
        read_inputs([tmp_path])


MUTATIONS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda content: content[: len(content) // 2],
    "cut by one": lambda content: content[:-1],
    "flipped start": lambda content: bytes([content[0] ^ 255]) + content[1:],
    "flipped middle": lambda content: (
        content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 255]) + content[len(content) // 2 + 1 :]
    ),
    "a list": lambda _: b"[]",
    "a number of 5,000 digits": lambda _: b"9" * 5000,
    "nested": lambda _: b"[" * 100_000,
}
FILES = (
    *("recipe.toml", "manifest.json", "metrics.jsonl", "tokens/train/summary.json"),
    *(f"evals/short-step-0000040/{task}.json" for task in ("validation", "fill-mask", "retrieval")),
)


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("file", FILES)
def test_a_page_can_be_made_of_a_run_with_any_damaged_file(
    run: Path, summarized: Callable[..., None], file: str, mutation: str
) -> None:
    rows = [{"low": 0, "high": 128, "documents": 5}, {"low": 128, "high": None, "documents": 1}]
    summarized(run, {"length_histogram": rows, "length_quantiles": {"0.5": 12, "1": 150}})
    (before,) = read_inputs([run])
    content = (run / file).read_bytes()
    (run / file).write_bytes(MUTATIONS[mutation](content))
    inputs = read_inputs([run])
    Page(inputs, PAGE).contents()
    assert len(inputs[0].left_out) <= 1
    if not inputs[0].left_out:  # nothing is left out silently, except what the file itself no longer holds
        after = {model.label: model.records for model in inputs[0].checkpoints}
        assert after == {model.label: model.records for model in before.checkpoints}


WRONG: tuple[Any, ...] = (None, -1, 1.5, True, "text", [], ["x"], {}, {"x": "y"}, [[1]], [{"a": {}}])


def _mutated(value: Any) -> Iterator[Any]:
    """The value with each of its entries, at any depth, replaced by values of other types or removed."""
    entries = list(value.items()) if isinstance(value, dict) else list(enumerate(value[:1]))
    for key, child in entries:
        for wrong in WRONG:
            yield value | {key: wrong} if isinstance(value, dict) else [wrong]
        if isinstance(value, dict):
            yield {name: entry for name, entry in value.items() if name != key}
        if isinstance(child, dict | list):
            for inner in _mutated(child):
                yield value | {key: inner} if isinstance(value, dict) else [inner, *value[1:]]


@pytest.mark.parametrize("file", [name for name in FILES if name.endswith(".json")])
def test_a_page_can_be_made_whatever_type_an_entry_has(run: Path, summarized: Callable[..., None], file: str) -> None:
    rows = [{"low": 0, "high": 128, "documents": 5}]
    summarized(run, {"length_histogram": rows, "length_quantiles": {"0.5": 12, "1": 150}})
    (run / "metrics.jsonl").write_text("")
    for value in _mutated(json.loads((run / file).read_text(encoding="utf-8"))):
        (run / file).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
        Page(read_inputs([run]), PAGE).contents()
