"""What keeps models from being ranked is found, named in plain words, and nothing is marked as best then."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anaume.evals.record import Record, save_record
from anaume.report import contents, geometry
from anaume.report.alike import note, part
from anaume.report.sources import Model, read_sources

Write = Callable[..., None]
DIFFERS = "Not measured alike, so no value is marked as best."
# What each task's records hold, as the evaluations write it.
SETTINGS: dict[str, dict[str, Any]] = {
    "retrieval": {"data": "p.jsonl", "sha256": "0123456789", "corpus": 400},
    "fill-mask": {"data": "c.jsonl", "sha256": "0123456789"},
    "geometry": {"data": "p.jsonl", "sha256": "0123456789", "texts": "t", "texts_sha256": "01", "random_pairs": 2000},
    "validation": {"texts": "t", "texts_sha256": "0123456789", "tokens": 1_048_576},
    "pseudo-perplexity": {
        "texts": "t",
        "texts_sha256": "0123456789",
        "documents": 500,
        "positions": 100,
        "drawn_sha256": "0123456789",
    },
}


def model(label: str, task: str, seed: int = 0, **settings: Any) -> Model:
    shared = {"revision": label, "precision": "float32"}
    return Model(label, {task: Record(label, task, {"m": 0.5}, 1, SETTINGS[task] | shared | settings, seed)})


def said(*models: Model) -> str:
    (task,) = models[0].records
    return note([part(models, task)]).removeprefix(DIFFERS).strip()


@pytest.mark.parametrize("task", SETTINGS)
def test_models_of_other_weights_prefixes_and_positions_are_alike(task: str) -> None:
    other = model("b", task, query_prefix="クエリ: ", positive_prefix="文章: ", max_length=512, length=512, k=9)
    assert note([part([model("a", task), other], task)]) == ""


@pytest.mark.parametrize(("task", "key"), [(task, key) for task, settings in SETTINGS.items() for key in settings])
def test_every_setting_that_must_agree_is_looked_at(task: str, key: str) -> None:
    value = SETTINGS[task][key]
    told = note([part([model("a", task), model("b", task, **{key: value * 2})], task)])
    if key in ("data", "texts"):  # a name: the content under it is the same
        assert told == ""
    else:
        assert told.startswith(DIFFERS)


@pytest.mark.parametrize("task", SETTINGS)
def test_the_seed_counts_where_something_is_drawn(task: str) -> None:
    drawn = task not in ("retrieval", "fill-mask")
    assert said(model("a", task, 0), model("b", task, 1)) == ("Seed: 0 for a; 1 for b." if drawn else "")


def test_the_words() -> None:
    task = "retrieval"
    a, b, c = model("a", task), model("b", task, data="q.jsonl", sha256="abcdef0123", corpus=9000), model("c", task)
    assert said(a, b) == (
        "Data: p.jsonl (SHA-256 01234567) for a; q.jsonl (SHA-256 abcdef01) for b. "
        "Texts searched: 400 for a; 9,000 for b."
    )
    assert said(a, b, c).startswith(
        "Data: q.jsonl (SHA-256 abcdef01) for b; p.jsonl (SHA-256 01234567) for all others."
    )
    many = [model(f"m{i}", task, sha256="abcdef0123") for i in range(10)]
    assert "for m0, m1, m2, m3, m4, m5, m6, m7 and 2 more; " in said(*many, *(model(f"n{i}", task) for i in range(11)))


def test_a_record_without_a_checksum_may_be_of_anything() -> None:
    old = model("old", "validation", texts_sha256=None)
    assert said(old, model("new", "validation")) == "Texts: t (no checksum) for old; t (SHA-256 01234567) for new."
    assert said(old, model("older", "validation", texts_sha256=None)) == ""  # as far as can be told
    assert said(old, model("none", "validation", texts=None, texts_sha256=None)).endswith("not recorded for none.")


def test_precision_counts_where_it_is_said() -> None:
    old, baseline = model("old", "retrieval", precision=None), model("jaccard", "retrieval", precision=None)
    assert said(old, model("new", "retrieval"), baseline) == ""
    half = model("half", "retrieval", precision="bfloat16")
    assert said(model("new", "retrieval"), half) == "Precision: float32 for new; bfloat16 for half."


def test_only_one_of_several_tasks_is_named() -> None:
    settings = {"fill-mask": SETTINGS["fill-mask"], "retrieval": SETTINGS["retrieval"]}
    records = {task: Record("a", task, {}, 1, settings[task], 0) for task in settings}
    others = records | {"retrieval": Record("b", "retrieval", {}, 1, settings["retrieval"] | {"corpus": 9}, 0)}
    models = [Model("a", records), Model("b", others)]
    assert (
        note([part(models, task) for task in settings]) == f"{DIFFERS} Texts searched of retrieval: 400 for a; 9 for b."
    )


def write(folder: Path, name: str, task: str, metrics: dict[str, float], **settings: Any) -> None:
    save_record(Record(name, task, metrics, 1, SETTINGS[task] | settings, 0), folder)


@pytest.mark.parametrize(
    ("task", "metric", "table"),
    [
        ("retrieval", "recall_at_10", contents.retrieval),
        ("fill-mask", "mrr", contents.fill_mask_scores),
        ("geometry", "auc", geometry.cosine_table),
    ],
)
def test_a_best_value_is_marked_on_the_same_data_only(tmp_path: Path, task: str, metric: str, table: Any) -> None:
    write(tmp_path / "same", "a", task, {metric: 0.25})
    write(tmp_path / "same", "b", task, {metric: 0.5})
    made = table(read_sources([tmp_path / "same"]))
    assert [row[1].strong for row in made.rows] == [False, True]
    assert made.caution == ""
    write(tmp_path / "same", "c", task, {metric: 0.75}, data="q.jsonl", sha256="fedcba9876")
    made = table(read_sources([tmp_path / "same"]))
    assert not any(cell.strong for row in made.rows for cell in row)
    assert made.caution == (f"{DIFFERS} Data: q.jsonl (SHA-256 fedcba98) for c; {tail(task)} for all others.")


def tail(task: str) -> str:
    return f"{SETTINGS[task]['data']} (SHA-256 01234567)"


def test_the_lexical_baselines_are_compared_like_models(tmp_path: Path) -> None:
    write(tmp_path, "a", "retrieval", {"recall_at_10": 0.25}, revision="r", precision="float32")
    write(tmp_path, "bm25", "retrieval", {"recall_at_10": 0.5}, unit="bigrams")
    write(tmp_path, "jaccard", "retrieval", {"recall_at_10": 0.75}, unit="bigrams", sha256="fedcba9876")
    table = contents.retrieval(read_sources([tmp_path]))
    assert table is not None
    assert "p.jsonl (SHA-256 fedcba98) for Jaccard (bigrams);" in table.caution
    (tmp_path / "jaccard" / "retrieval.json").unlink()
    table = contents.retrieval(read_sources([tmp_path]))
    assert table is not None
    assert [row[1].strong for row in table.rows] == [False, True]


def test_validation_names_what_differs_and_has_no_best(tmp_path: Path) -> None:
    metrics = {"loss": 2.5, "accuracy": 0.5, "long_loss": 2.25, "loss [0, 1024]": 3.0}
    write(tmp_path, "a", "validation", metrics)
    write(tmp_path, "b", "validation", metrics | {"loss": 2.0})
    sources = read_sources([tmp_path])
    overall, by_length = contents.validation(sources), contents.lengths(sources)
    assert overall is not None
    assert by_length is not None
    assert [column.title for column in overall.columns] == ["Model", "Loss", "Accuracy", "Loss past 1,024 tokens", "n"]
    assert [cell.text for cell in overall.rows[1]] == ["b", "2.000", "0.500", "2.250", "1"]
    assert not any(cell.strong for row in overall.rows for cell in row)
    assert overall.caution + by_length.caution == ""
    write(tmp_path, "b", "validation", metrics, tokens=262_144)
    sources = read_sources([tmp_path])
    for table in (contents.validation(sources), contents.lengths(sources)):
        assert table is not None
        assert table.caution.endswith("Tokens read at most: 1,048,576 for a; 262,144 for b.")


def test_checkpoints_that_were_not_measured_alike_are_named(run: Path) -> None:
    (source,) = read_sources([run])
    table = contents.dynamics(source)
    assert table is not None
    assert table.caution == ""
    place = {"stage": "short", "step": 9, "tokens": 9000}
    save_record(Record("short-step-0000009", "validation", {"loss": 1.0}, 412, {}, 7, checkpoint=place), run / "evals")
    (source,) = read_sources([run])
    table = contents.dynamics(source)
    assert table is not None
    assert table.caution == f"{DIFFERS} Seed of validation: 7 for short, step 9; 0 for all others."
