"""A published export: the records of its weights, the recipe and the report, and a card that stays the user's own."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from transformers import BertJapaneseTokenizer

from anaume.encoder.load import revision_of
from anaume.evals.record import Record, save_record
from anaume.export.selection import select_checkpoint
from anaume.files.outputs import replace_files
from anaume.publish.facts import read_facts
from anaume.publish.folder import publish
from anaume.recipe import load
from anaume.run import Run


@pytest.fixture
def run(straight: Run, tmp_path: Path) -> Run:
    """A copy of the tiny run, whose records and report the test may write."""
    shutil.copytree(straight.folder, tmp_path / "run")
    return Run(tmp_path / "run")


def test_an_export_has_a_card(run: Run, tmp_path: Path, command_line: Callable[..., Any]) -> None:
    out, last = tmp_path / "out", select_checkpoint(run)
    assert command_line("export", run.folder, "--out", out).status == 0
    own = Record(last.model, "validation", {"loss": 1.5}, 7, {"revision": revision_of(str(out))}, 0)
    save_record(own, run.evals)
    save_record(replace(own, model="other", settings={"revision": "0" * 64}, metrics={"loss": 99.0}), run.evals)
    replace_files(run.report, "report", {"index.html": "<html></html>", "tables/a.md": "a"})
    (run.report / "mine.txt").write_text("mine")

    assert command_line("export", run.folder, "--out", out, "--license", "mit").status == 0
    card: Any = ModelCard.load(out / "README.md")
    assert card.data.to_dict()["license"] == "mit"
    assert card.data.to_dict()["language"] == ["ja"]
    assert card.data.eval_results is not None
    assert [result.metric_value for result in card.data.eval_results] == [1.5]
    assert f"| Tokens read | {run.tokens_seen(last):,}, padding excluded |" in card.text
    assert load(out / "recipe.toml") == run.recipe().published()
    assert sorted(p.name for p in (out / "report").rglob("*") if p.is_file()) == ["a.md", "index.html"]


def test_a_readme_of_the_user_is_kept(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, last = tmp_path / "out", select_checkpoint(run)
    publish(run, last, out)
    readme = out / "README.md"
    first = readme.read_text(encoding="utf-8")
    publish(run, last, out, license="mit")
    assert "license: mit" in readme.read_text(encoding="utf-8")  # its own card is written anew
    for _ in range(2):  # a second export must not take the kept file for its own
        readme.write_text(first + "my words", encoding="utf-8")
        capsys.readouterr()
        publish(run, last, out)
        assert readme.read_text(encoding="utf-8") == first + "my words"
        assert "README.md: kept" in capsys.readouterr().err
    readme.unlink()
    publish(run, last, out)
    assert readme.read_text(encoding="utf-8") == first


def test_a_readme_that_was_there_before_any_card_is_kept(run: Run, tmp_path: Path) -> None:
    from anaume.export.checkpoint import export

    out, last = tmp_path / "out", select_checkpoint(run)
    export(run, last, out)
    (out / "README.md").write_text("mine")
    publish(run, last, out)
    publish(run, last, out)
    assert (out / "README.md").read_text() == "mine"
    assert (out / "recipe.toml").is_file()


def test_a_licence_is_an_identifier(run: Run, tmp_path: Path, command_line: Callable[..., Any]) -> None:
    ended = command_line("export", run.folder, "--out", tmp_path / "out", "--license", "mit\ntags: x")
    assert ended.status == 2
    assert "--license: 'mit" in ended.err
    assert "no identifier; expected one of" in ended.err
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_without_tokenizer_json_has_a_card(run: Run, tmp_path: Path) -> None:
    """Tohoku's kind, which only Python code of transformers can run; beside a ModernBERT, AutoTokenizer refuses it."""
    out, vocabulary = tmp_path / "out", ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "東京"]
    out.mkdir()
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertJapaneseTokenizer(str(tmp_path / "vocab.txt"), word_tokenizer_type="basic").save_pretrained(out)
    (out / "config.json").write_text('{"model_type": "modernbert"}', encoding="utf-8")
    facts = read_facts(run, select_checkpoint(run), 1, out, "")
    assert (facts.mask_token, facts.vocabulary) == ("[MASK]", len(vocabulary))
