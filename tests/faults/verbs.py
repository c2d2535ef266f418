"""Commands that work, one or more for each verb that ends in seconds, on small copies of their inputs.

`demo`, `reproduce`, `bench` and `export --onnx` are absent because they take minutes, and `play` because it serves
until it is stopped.
"""

import gzip
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults.conftest import Work


def verbs(work: Work, folder: Path) -> list[list[str]]:
    """Copy the inputs to `folder`, where they may be damaged, and return the commands, which write to `folder / "out"`.

    `run` is a run, `model` its export, `long` the same network for 1,024 tokens without the mark of an export.
    """
    inputs, run, model, long, out = (folder / name for name in ("inputs", "run", "model", "long", "out"))
    shutil.copytree(work.tasks, inputs)
    shutil.copytree(work.run.folder, run)
    shutil.copytree(work.export, model)
    _write_inputs(work, inputs)
    _lengthen(model, long)
    recipe, text = inputs / "recipe.toml", inputs / "train.jsonl"
    cloze, pairs, labels = inputs / "cloze.jsonl", inputs / "pairs.jsonl", inputs / "labels.csv"
    new_run = ["--run", out, "--set", f"corpus.train.0.path={text}"]
    grid = ["--learning-rates", "1e-3", "--epochs", 1, "--seeds", 1, "--out", out]
    words: list[list[object]] = [
        ["pretrain", recipe, *new_run],
        ["pretrain", recipe, "--run", run],
        ["tokens", text, "--tokenizer", model, "--out", out],
        ["tokenizer", "train", text, "--vocab-size", 1500, "--out", out],
        ["tokenizer", "adapt", model, "--out", out],
        ["tokenizer", "extend", model, text, "--add", 5, "--general", text, "--out", out],
        ["overlap", text, "--against", pairs, "--against", cloze, "--out", out / "overlap.json"],
        ["pairs", "miracl-ja", "--data", inputs / "miracl", "--out", out / "pairs.jsonl"],
        ["export", run, "--out", out],
        ["export", run, "--stage", "first", "--average", 2, "--out", out],
        ["batch", run, "--stage", "first", "--step", 1],
        ["report", run, "--out", out],
        ["verify", run, model],
        ["plan", recipe, "--gpus", 1, "--vocab-size", 560],
        ["recipe", "new", text, "--hours", 1, "--device", "h100", "--out", out / "new.toml"],
        ["recipe", "list"],
        ["recipe", "copy", "laptop", "--out", out / "copy.toml"],
        ["eval", "fill-mask", model, "--cloze", cloze, "--out", out],
        ["eval", "fill-mask", model, "--text", "日本の[MASK]は東京です。"],
        ["eval", "retrieval", model, "--pairs", pairs, "--out", out],
        ["eval", "retrieval", model, "--collection", inputs / "beir", "--unit", "bigrams", "--out", out],
        ["eval", "geometry", model, "--pairs", pairs, "--out", out],
        ["eval", "validation", model, "--texts", text, "--tokens", 1000, "--out", out],
        ["eval", "pseudo-perplexity", model, "--texts", text, "--documents", 2, "--out", out],
        ["eval", "needle", long, "--texts", text, "--longest", 512, "--documents", 2, "--out", out],
        ["eval", "jglue", model, "--data", inputs, "--tasks", "jcola", *grid],
        ["eval", "ner", model, "--entities", inputs / "entities.jsonl", *grid],
        ["eval", "all", run, "--texts", text, "--tokens", 500, "--documents", 1, "--positions", 2, "--out", out],
        ["finetune", model, labels, "--out", out, "--epochs", 1],
        ["finetune", model, inputs / "entities.jsonl", "--out", out, "--epochs", 1],
        ["contrast", model, "--pairs", pairs, "--epochs", 1, "--out", out],
        ["contrast", model, "--pairs", pairs, "--mine", "bm25", "--dimensions", "8,16", "--epochs", 1, "--out", out],
        ["contrast", model, "--pairs", pairs, "--late", "--epochs", 1, "--out", out],
        ["contrast", model, "--nli", inputs, "--sts", inputs, "--epochs", 1, "--max-length", 16, "--out", out],
    ]
    return [list(map(str, line)) for line in words]


def _write_inputs(work: Work, inputs: Path) -> None:
    """Write what the evaluation files of the built-in corpus lack."""
    shutil.copy(work.recipe_file, inputs / "recipe.toml")
    shutil.copy(work.recipe.corpus.train[0].path, inputs / "train.jsonl")
    for file in inputs.glob("j*/*train*.json"):  # fewer examples, so that a grid takes seconds
        file.write_text("".join(file.read_text("utf-8").splitlines(keepends=True)[:100]), "utf-8")
    (inputs / "labels.csv").write_text("text,label\n" + "".join(f"文{i},{'ab'[i % 2]}\n" for i in range(40)), "utf-8")
    entity = {"start": 0, "end": 3, "type": "地名"}
    _write_lines(inputs / "entities.jsonl", [{"text": f"青森県の文{i}", "entities": [entity]} for i in range(40)])

    documents = [{"_id": str(i), "title": f"題{i}", "text": f"文書{i}の本文"} for i in range(20)]
    _write_lines(inputs / "beir" / "corpus.jsonl", documents)
    _write_lines(inputs / "beir" / "queries.jsonl", [{"_id": f"q{i}", "text": f"文書{i}は何か"} for i in range(20)])
    judged = "".join(f"q{i}\t{i}\t1\n" for i in range(20))
    (inputs / "beir" / "qrels").mkdir()
    (inputs / "beir" / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}", "utf-8")

    name, miracl = "miracl-v1.0-ja", inputs / "miracl"
    for path in (miracl / name / "topics", miracl / name / "qrels", miracl / "miracl-corpus-v1.0-ja"):
        path.mkdir(parents=True)
    topics, qrels = (miracl / name / kind / f"{kind}.{name}-train.tsv" for kind in ("topics", "qrels"))
    topics.write_text("1\t一つ目の問い\n2\t二つ目の問い\n", "utf-8")
    qrels.write_text("".join(f"{topic}\tQ0\t{topic}#{part}\t1\n" for topic in (1, 2) for part in (0, 1)), "utf-8")
    passages = [
        {"docid": f"{topic}#{part}", "title": f"頁{topic}", "text": f"文{part}"} for topic in (1, 2) for part in (0, 1)
    ]
    with gzip.open(miracl / "miracl-corpus-v1.0-ja" / "docs-0.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(passage, ensure_ascii=False) + "\n" for passage in passages)


def _write_lines(file: Path, rows: Sequence[Mapping[str, object]]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def _lengthen(model: Path, long: Path) -> None:
    """Copy a model as one of 1,024 tokens, which `eval needle` needs: rotary positions have no weights."""
    shutil.copytree(model, long, ignore=shutil.ignore_patterns("anaume.json", "modules.json", "sentence_bert*", "1_*"))
    for name, key in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
        table = json.loads((long / name).read_text("utf-8"))
        (long / name).write_text(json.dumps(table | {key: 1024}), "utf-8")
