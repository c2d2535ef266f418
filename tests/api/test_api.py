"""The Python API: its names, what it imports, the lines of its errors, its silence, and that the verbs use it."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import anaume
import anaume.pretrain.loop  # sets the name `pretrain` of `anaume`
from anaume.api import verbs
from anaume.cli import results, training
from anaume.evals.record import Record
from anaume.run import Run

from ..conftest import Finished
from ..support.models import sentences, write_rows

FUNCTIONS = ("export", "finetune", "pretrain", "report")


def test_the_public_names_are_exact() -> None:
    assert sorted(anaume.__all__) == anaume.__all__
    assert {name for name in anaume.__all__ if getattr(anaume, name) is None} == set()
    assert set(anaume._PLACES) | {"Incomplete", "UserError", "__version__"} == set(anaume.__all__)
    assert set(anaume.__all__) <= set(dir(anaume))
    assert Path(anaume.__file__).with_name("py.typed").is_file()
    with pytest.raises(AttributeError, match="module 'anaume' has no attribute 'evalate'"):
        anaume.evalate  # noqa: B018


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_package_of_a_functions_name_is_that_function(name: str) -> None:
    """Whatever was imported before, one object has the name, and it is both."""
    package = getattr(anaume, name)
    assert package is sys.modules[f"anaume.{name}"]
    assert inspect.signature(getattr(anaume, name)) == inspect.signature(getattr(verbs, name))
    assert callable(package)


@pytest.mark.slow
def test_importing_anaume_imports_nothing_heavy() -> None:
    heavy = {"torch", "transformers", "numpy", "pydantic", "rich"}
    code = f"import sys, anaume; anaume.pretrain, anaume.report; print({heavy} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


# Options that follow a run on the terminal, and defaults that are lists, which the command line writes as text.
ONLY_VERBS = {"watch"}
LISTS = {"3": 3, "5e-5": 5e-5}


@pytest.mark.parametrize("verb", [training.pretrain, training.export, training.finetune, results.report])
def test_a_verb_has_the_options_of_its_function(verb: Callable[..., None]) -> None:
    function = inspect.signature(getattr(verbs, verb.__name__)).parameters
    options = inspect.signature(verb).parameters
    assert set(function) - {"progress"} == set(options) - ONLY_VERBS
    for name, parameter in options.items():
        empty = (inspect.Parameter.empty, None, ())
        default = LISTS.get(parameter.default, parameter.default)
        assert name in ONLY_VERBS or default in (function[name].default, *empty), name


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: anaume.pretrain("absent.toml", "run"), "pretrain absent.toml --run run"),
        (lambda: anaume.export("absent", "out"), "export absent --out out"),
        (lambda: anaume.report("absent", "out"), "report absent --out out"),
        (lambda: anaume.finetune("absent/model", "absent.csv", "out"), "finetune absent/model absent.csv --out out"),
        (lambda: anaume.evaluate("retrieval", "a/b/c", "out"), "eval retrieval a/b/c --out out"),
        (
            lambda: anaume.evaluate("retrieval", "a/b/c", "out", pairs="absent"),
            "eval retrieval a/b/c --pairs absent --out out",
        ),
        (lambda: anaume.evaluate_run("absent"), "eval all absent"),
        (lambda: anaume.Encoder("a/b/c"), "eval retrieval a/b/c --pairs p --out out"),
    ],
)
def test_an_error_has_the_line_of_the_command_line(
    call: Callable[[], Any],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command_line: Callable[..., Finished],
) -> None:
    monkeypatch.chdir(tmp_path)
    line = command_line(*words.split()).err
    with pytest.raises(ValueError, match="expected") as raised:
        call()
    assert isinstance(raised.value, anaume.UserError)
    assert line == f"anaume: {raised.value}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda file: anaume.pretrain("r", file), "pretrain r --run FILE"),
        (lambda file: anaume.export("run", file), "export run --out FILE"),
        (lambda file: anaume.report("run", file), "report run --out FILE"),
        (lambda file: anaume.finetune("m", "d", file), "finetune m d --out FILE"),
        (lambda file: anaume.evaluate("retrieval", "m", file, pairs="p"), "eval retrieval m --pairs p --out FILE"),
        (lambda file: anaume.evaluate_run("run", file), "eval all run --out FILE"),
    ],
)
def test_a_file_in_the_way_is_the_line_of_the_command_line(
    call: Callable[[Path], Any], words: str, tmp_path: Path, command_line: Callable[..., Finished]
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    line = command_line(*words.replace("FILE", str(file)).split()).err
    with pytest.raises(anaume.UserError, match="is a file; expected a folder") as raised:
        call(file)
    assert line == f"anaume: {raised.value}\n"
    assert file.read_text() == "mine"


def test_wrong_options_and_values(tmp_path: Path, modernbert_folder: Path) -> None:
    with pytest.raises(anaume.UserError, match="task 'jgle': unknown; expected validation"):
        anaume.evaluate("jgle", modernbert_folder, tmp_path)
    with pytest.raises(anaume.UserError, match="eval retrieval: cloze: not an option here; expected with fill-mask"):
        anaume.evaluate("retrieval", modernbert_folder, tmp_path, cloze="a")
    with pytest.raises(anaume.UserError, match="eval all: seedz: not an option here; expected centre, cloze"):
        anaume.evaluate_run(tmp_path, seedz=1)
    with pytest.raises(anaume.UserError, match=r"^recipe: name: missing; expected a value$"):
        anaume.pretrain({"nome": "a"}, tmp_path / "run")
    with pytest.raises(anaume.UserError, match="expected a list of texts"):
        anaume.Encoder(modernbert_folder).embed("東京")


def test_an_error_of_the_system_is_a_line_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_report(*_: Any) -> None:
        raise PermissionError(13, "Permission denied", "s3://key:secret@bucket/a")

    monkeypatch.setattr("anaume.report.page.write_report", write_report)
    with pytest.raises(
        anaume.UserError, match=r"^s3://bucket/a: Permission denied; expected a place that you may read"
    ):
        anaume.report(tmp_path, tmp_path / "out")


def test_an_encoder(modernbert_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    encoder = anaume.Encoder(modernbert_folder)
    texts = sentences(6)
    vectors = encoder.embed(texts)
    assert vectors.shape == (6, 32)
    assert vectors.dtype == np.float32
    assert encoder.embed([]).shape == (0, 32)
    assert encoder.tokens("東京は首都である。")[-4:] == ["首都", "である", "。", "[SEP]"]
    fillings = encoder.fill("東京は[MASK]である。", k=3)
    assert len(fillings) == 3
    assert fillings[0].probability >= fillings[1].probability >= fillings[2].probability > 0
    assert repr(encoder) == f"anaume.Encoder({str(modernbert_folder)!r})"
    assert capfd.readouterr() == ("", "")
    transformer = Transformer(str(modernbert_folder))
    stock = SentenceTransformer(modules=[transformer, Pooling(32)], device="cpu")
    assert np.abs(vectors - stock.encode(texts)).max() < 1e-5


def test_evaluate_returns_records_and_prints_nothing_unless_asked(
    modernbert_folder: Path, bert_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    texts = sentences(20)
    write_rows(tmp_path / "pairs.jsonl", [{"query": a, "positive": b} for a, b in zip(texts, texts[::-1], strict=True)])
    paths: list[Path] = []
    records = anaume.evaluate(
        "retrieval",
        [modernbert_folder, bert_folder],
        tmp_path / "evals",
        pairs=tmp_path / "pairs.jsonl",
        on_record=paths.append,
    )
    assert all(isinstance(record, Record) for record in records)
    assert [record.model for record in records[:2]] == ["tiny-modernbert", "tiny-bert"]
    assert [path.parent.name for path in paths] == [record.model for record in records]
    page = anaume.report(tmp_path / "evals", tmp_path / "report")
    assert page == tmp_path / "report" / "index.html"
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_from_a_run_to_a_classifier(
    tiny: Any, straight: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A recipe of Python objects trains as its file does; nothing is printed unless asked."""
    recipe = tiny.model_dump()
    recipe["stage"] = recipe["stage"][:1]
    folder = anaume.pretrain({**recipe, "stage": [{**recipe["stage"][0]}]}, tmp_path / "run")
    assert folder == tmp_path / "run"
    losses = [
        [json.loads(line)["loss"] for line in run.metrics_file.read_text().splitlines()]
        for run in (straight, Run(folder))
    ]
    assert losses[1] == losses[0][: len(losses[1])]
    assert anaume.export(folder, tmp_path / "encoder") == tmp_path / "encoder"
    assert anaume.evaluate_run(folder, documents=2, positions=2) == Run(folder).evals
    rows = [{"text": text, "label": str("東京" in text)} for text in sentences(60)]
    write_rows(tmp_path / "data.jsonl", rows)
    out = anaume.finetune(tmp_path / "encoder", tmp_path / "data.jsonl", tmp_path / "classifier", epochs=1)
    assert (out / "finetune.json").is_file()
    assert capfd.readouterr() == ("", "")
    anaume.finetune(tmp_path / "encoder", tmp_path / "data.jsonl", out, epochs=1, progress=True)
    assert "examples to train on" in capfd.readouterr().err
