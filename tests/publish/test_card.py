"""The card of an export: read by the Hub's own library, from facts of the run alone, safe against hostile text."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard, metadata_load, parse_eval_result_entries

from anaume.evals.jglue.tasks import PUBLISHED
from anaume.evals.record import Record
from anaume.publish.card import card_text, code
from anaume.publish.eval_results import benchmark_entries
from anaume.publish.facts import CardFacts
from anaume.publish.folder import write_results
from anaume.recipe import Recipe, parse
from anaume.run import CheckpointName

HOSTILE = "x\n---\nlicense: mit\n# <script>alert(1)</script> [link](javascript:1) | ``` `code` *b* \u2028 {{jinja}}"


def record(task: str, metrics: dict[str, float], **settings: object) -> Record:
    return Record("first-step-0000004", task, metrics, 30, dict(settings), 0)


@pytest.fixture
def facts(tiny: Recipe) -> CardFacts:
    environment = {"cpu": "Some CPU", "cores": 2, "device": "cpu", "torch": "2.13.0"}
    data = {"train": {"documents": 40, "tokens": 2000, "characters": 4000, "unknown_tokens": 5}}
    return CardFacts(
        checkpoint=CheckpointName("first", 4),
        average=1,
        recipe=tiny,
        manifest={"parameters": 12_345, "environment": environment, "data": data, "precision": "float32"},
        tokens=1_998,
        seconds=7500.0,
        records=(
            record("validation", {"loss": 1.25, "loss [0, 64]": 1.5, "broken": float("nan")}, texts="own text"),
            record("fill-mask", {"loss": 0.5}, data="cloze.jsonl"),
        ),
        languages=("ja",),
        vocabulary=1200,
        mask_token="<MASK>",
        base="",
        base_model="",
        datasets=("owner/texts",),
        license="cc-by-sa-4.0",
    )


def load(facts: CardFacts, folder: Path) -> Any:
    file = folder / "README.md"
    file.write_text(card_text(facts, report=False), encoding="utf-8")
    card: Any = ModelCard.load(file)
    assert metadata_load(file) == card.data.to_dict()
    return card


def test_the_hub_reads_the_metadata(facts: CardFacts, tmp_path: Path) -> None:
    data = load(facts, tmp_path).data.to_dict()
    index = data.pop("model-index")
    assert data == {
        "language": ["ja"],
        "license": "cc-by-sa-4.0",
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "tags": ["modernbert", "sentence-transformers", "anaume"],
        "datasets": ["owner/texts"],
        "mask_token": "<MASK>",
    }
    (model,) = index
    assert model["name"] == "tiny"
    assert [result["task"]["name"] for result in model["results"]] == ["validation", "fill-mask"]


def test_results_survive_the_round_trip(facts: CardFacts, tmp_path: Path) -> None:
    results = load(facts, tmp_path).data.eval_results
    assert results is not None
    assert all(isinstance(result, EvalResult) for result in results)
    assert [(r.task_name, r.metric_type, r.metric_value, r.dataset_name) for r in results] == [
        ("validation", "loss", 1.25, "own text"),
        ("validation", "loss [0, 64]", 1.5, "own text"),
        ("fill-mask", "loss", 0.5, "cloze.jsonl"),
    ]


def test_the_text_states_the_facts(facts: CardFacts) -> None:
    text = card_text(facts, report=True)
    for statement in (
        "Stage first, step 4.",
        "Training began from random weights.",
        "The longest input is 256 tokens. Training read pieces of at most 64 tokens.",
        "its mask is `<MASK>`. 0.25% of the training tokens were unknown",
        "Scores of these weights exist for `validation` and `fill-mask` only",
        "| Tokens read | 1,998, padding excluded |",
        "| Time in training steps | 2 h 5 min |",
        "| first | 64 | 512 | 4 | 0.010 | adamw | 30% |",
        "| validation | loss | 1.250 | 30 |",
        "[report/index.html](report/index.html)",
    ):
        assert statement in text
    assert "second" not in text  # a later stage
    assert "nan" not in text
    assert "No licence" not in text


def test_nothing_is_guessed(facts: CardFacts, tmp_path: Path) -> None:
    unknown = replace(facts, license="", languages=(), datasets=(), records=(), manifest={}, seconds=0.0, average=3)
    card = load(unknown, tmp_path)
    assert set(card.data.to_dict()) == {"library_name", "pipeline_tag", "tags", "mask_token"}
    assert "**No licence is chosen for these weights.**" in card.text
    assert "the mean of the stage's last 3 checkpoints" in card.text
    assert "No score of these weights is on record." in card.text
    for absent in ("Time in training", "Machine", "unknown to it", "report/index.html"):
        assert absent not in card.text


def test_a_model_that_was_continued_is_named(facts: CardFacts, tmp_path: Path) -> None:
    card = load(replace(facts, base="owner/base", base_model="owner/base"), tmp_path)
    assert card.data.to_dict()["base_model"] == "owner/base"
    assert "Training began from `owner/base`." in card.text


def test_hostile_text_stays_text(facts: CardFacts, tiny: Recipe, tmp_path: Path) -> None:
    table = tiny.model_dump()
    table["name"] = HOSTILE.replace("\n", " ").replace("\u2028", " ")
    table["corpus"]["train"][0]["path"] = "https://user:secret@host/`x`.jsonl?signature=secret"
    recipe = parse(table, "test").published()
    records = (record(HOSTILE, {HOSTILE: 1.0}, notes=[HOSTILE], data=HOSTILE),)
    hostile = replace(facts, recipe=recipe, records=records, base=HOSTILE, mask_token="a`` b", license="")
    card = load(hostile, tmp_path)
    assert "license" not in card.data.to_dict()
    assert card.data.eval_results is not None
    assert card.data.eval_results[0].metric_value == 1.0
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", card.text.replace("\\`", ""))  # what is not code
    assert "<script>" not in outside
    assert not re.search(r"(?<!\\)\[link(?<!\\)\]", outside)
    assert "secret" not in card.content
    headings = re.findall("^#+ .*", card.text, re.MULTILINE)
    assert [heading.split()[1] for heading in headings[1:]] == [
        *("Use", "Intended", "Training", "Text", "Evaluation", "Files")
    ]


def test_code_has_a_longer_fence_than_its_text() -> None:
    assert code("a") == "`a`"
    assert code("a `` b\nc") == "``` a `` b c ```"
    assert code("") == "` `"


def test_eval_results_are_those_of_published_files(tmp_path: Path) -> None:
    files = {name: checksum for name, checksum in PUBLISHED.items() if name.startswith("jnli")}
    official = record("jnli", {"accuracy": 0.9, "accuracy_std": 0.01}, files=files, protocol="held-out")
    changed = record("jsts", {"pearson": 0.8}, files={"jsts-v1.3/valid-v1.3.json": "0" * 64})
    write_results(tmp_path, [official, changed, record("validation", {"loss": 1.0})])
    content = yaml.safe_load((tmp_path / ".eval_results" / "jglue.yaml").read_text(encoding="utf-8"))
    (entry,) = parse_eval_result_entries(content)
    assert (entry.dataset_id, entry.task_id, entry.value) == ("shunk031/JGLUE", "JNLI", 0.9)
    assert entry.notes == "accuracy on the validation split, fine-tuned, protocol held-out"
    assert benchmark_entries([changed]) == []


def test_no_file_without_results(tmp_path: Path) -> None:
    write_results(tmp_path, [record("validation", {"loss": 1.0})])
    assert list(tmp_path.iterdir()) == []
