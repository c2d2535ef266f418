"""What keeps models from being ranked is found, named in plain words, and nothing is marked as best then."""

from typing import Any

import pytest

from anaume.evals.record import Record
from anaume.report.comparable import Comparison, caution, comparison
from anaume.report.inputs import EvaluatedModel
from anaume.report.sections import fill_mask, geometry, pseudo_perplexity, retrieval, validation

DIFFERS = "Not measured alike, so no value is marked as best."
ASPECTS = {section.TASK: section.ASPECTS for section in (retrieval, fill_mask, geometry, validation, pseudo_perplexity)}
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


def model(label: str, task: str, seed: int = 0, **settings: Any) -> EvaluatedModel:
    shared = {"revision": label, "precision": "float32"}
    return EvaluatedModel(label, {task: Record(label, task, {"m": 0.5}, 1, SETTINGS[task] | shared | settings, seed)})


def compared(task: str, *models: EvaluatedModel) -> Comparison:
    return comparison(models, task, ASPECTS[task])


def unlike(*models: EvaluatedModel) -> str:
    (task,) = models[0].records
    return caution([compared(task, *models)]).removeprefix(DIFFERS).strip()


@pytest.mark.parametrize("task", SETTINGS)
def test_models_of_other_weights_prefixes_and_positions_are_alike(task: str) -> None:
    other = model("b", task, query_prefix="クエリ: ", positive_prefix="文章: ", max_length=512, length=512, k=9)
    assert caution([compared(task, model("a", task), other)]) == ""


@pytest.mark.parametrize(("task", "key"), [(task, key) for task, settings in SETTINGS.items() for key in settings])
def test_every_setting_that_must_agree_is_looked_at(task: str, key: str) -> None:
    value = SETTINGS[task][key]
    text = caution([compared(task, model("a", task), model("b", task, **{key: value * 2}))])
    if key in ("data", "texts"):  # a name: the content under it is the same
        assert text == ""
    else:
        assert text.startswith(DIFFERS)


@pytest.mark.parametrize("task", SETTINGS)
def test_the_seed_counts_where_something_is_drawn(task: str) -> None:
    drawn = task not in ("retrieval", "fill-mask")
    assert unlike(model("a", task, 0), model("b", task, 1)) == ("Seed: 0 for a; 1 for b." if drawn else "")


def test_the_words() -> None:
    task = "retrieval"
    a, b, c = model("a", task), model("b", task, data="q.jsonl", sha256="abcdef0123", corpus=9000), model("c", task)
    assert unlike(a, b) == (
        "Data: p.jsonl (SHA-256 01234567) for a; q.jsonl (SHA-256 abcdef01) for b. "
        "Texts searched: 400 for a; 9,000 for b."
    )
    assert unlike(a, b, c).startswith(
        "Data: q.jsonl (SHA-256 abcdef01) for b; p.jsonl (SHA-256 01234567) for all others."
    )
    many = [model(f"m{i}", task, sha256="abcdef0123") for i in range(10)]
    assert "for m0, m1, m2, m3, m4, m5, m6, m7 and 2 more; " in unlike(
        *many, *(model(f"n{i}", task) for i in range(11))
    )


def test_a_record_without_a_checksum_may_be_of_anything() -> None:
    old = model("old", "validation", texts_sha256=None)
    assert unlike(old, model("new", "validation")) == "Texts: t (no checksum) for old; t (SHA-256 01234567) for new."
    assert unlike(old, model("older", "validation", texts_sha256=None)) == ""  # as far as can be told
    assert unlike(old, model("none", "validation", texts=None, texts_sha256=None)).endswith("not recorded for none.")


def test_precision_counts_where_it_is_unlike() -> None:
    old, baseline = model("old", "retrieval", precision=None), model("jaccard", "retrieval", precision=None)
    assert unlike(old, model("new", "retrieval"), baseline) == ""
    half = model("half", "retrieval", precision="bfloat16")
    assert unlike(model("new", "retrieval"), half) == "Precision: float32 for new; bfloat16 for half."


def test_only_one_of_several_tasks_is_named() -> None:
    settings = {"fill-mask": SETTINGS["fill-mask"], "retrieval": SETTINGS["retrieval"]}
    records = {task: Record("a", task, {}, 1, settings[task], 0) for task in settings}
    others = records | {"retrieval": Record("b", "retrieval", {}, 1, settings["retrieval"] | {"corpus": 9}, 0)}
    models = EvaluatedModel("a", records), EvaluatedModel("b", others)
    text = caution([compared(task, *models) for task in settings])
    assert text == f"{DIFFERS} Texts searched of retrieval: 400 for a; 9 for b."
