"""The facts of an export → its model card: README.md with the Hub's metadata.

The rule: the card states what files of the run say, and nothing else. A text of the user is shown as text: in code, or
escaped, so that no name of a run, a source or a task becomes markup.
"""

import re
from collections.abc import Iterable, Sequence

from huggingface_hub import ModelCardData

from anaume import __version__
from anaume.evals.record import Record
from anaume.formats import duration, join_words, number, one_line
from anaume.publish.eval_results import model_index
from anaume.publish.facts import CardFacts, finite_metrics
from anaume.report.tables import Cell, Column, Table, markdown, markdown_text

# Keys of the manifest's environment that are machine, and those that are versions of packages.
MACHINE = ("cpu", "cores", "device", "processes", "platform")
VERSIONS = ("python", "torch", "transformers", "tokenizers", "sentencepiece", "numpy")

USE = """```python
from transformers import pipeline

fill_mask = pipeline("fill-mask", model="THIS_MODEL")  # this folder, or its id on the Hub
fill_mask(f"… {fill_mask.tokenizer.mask_token} …")
```

```python
from sentence_transformers import SentenceTransformer

vectors = SentenceTransformer("THIS_MODEL").encode(["…", "…"])
```
"""
NO_LICENSE = """> **No licence is chosen for these weights.** Choose one before you publish them, with
> `anaume export --license` or the key `license` at the top of this file. The terms of the training text, and of the
> model that training began from, bind the choice.
"""


def metadata(facts: CardFacts) -> ModelCardData:
    """The head of the card; a field that the run does not tell is absent."""
    return ModelCardData(
        language=list(facts.languages) or None,
        license=facts.license or None,
        library_name="transformers",
        pipeline_tag="fill-mask",
        tags=["modernbert", "sentence-transformers", "anaume"],
        base_model=facts.base_model or None,
        datasets=list(facts.datasets) or None,
        mask_token=facts.mask_token,
        model_name=facts.recipe.name if facts.records else None,
        eval_results=model_index(facts.records) or None,
    )


def card_text(facts: CardFacts, *, report: bool) -> str:
    """The whole card. `report` says whether the run's report lies beside it."""
    average = f", the mean of the stage's last {facts.average} checkpoints" if facts.average > 1 else ""
    checkpoint = f"Stage {markdown_text(facts.checkpoint.stage)}, step {facts.checkpoint.step:,}{average}."
    begun = f"Training began from {code(facts.base)}." if facts.base else "Training began from random weights."
    files = "[recipe.toml](recipe.toml) has every setting of the run, its defaults written out."
    if report:
        files += " [report/index.html](report/index.html) is its report."
    parts = [
        f"---\n{metadata(facts).to_yaml()}\n---",
        f"# {markdown_text(facts.recipe.name)}",
        f"A ModernBERT encoder, trained with anaume {__version__}. {checkpoint} {begun}",
        *([] if facts.license else [NO_LICENSE.rstrip()]),
        f"## Use\n\n{USE.rstrip()}",
        f"## Intended use and limits\n\n{bullets(limits(facts))}",
        f"## Training\n\n{markdown(_training(facts)).strip()}",
        markdown(_stages(facts)).strip(),
        f"### Text\n\n{bullets(_sources(facts))}",
        f"## Evaluation\n\n{_evaluation(facts)}",
        f"## Files\n\n{files}",
    ]
    return "\n\n".join(parts) + "\n"


def limits(facts: CardFacts) -> list[str]:
    """What the records say about what the model is for and where it ends."""
    positions, trained = facts.recipe.model.positions, facts.trained_length
    lines = [
        "It fills in masked tokens, and is a starting point for fine-tuning. It has not been fine-tuned for any task.",
        f"The longest input is {positions:,} tokens. Training read pieces of at most {trained:,} tokens.",
        f"The tokenizer has {facts.vocabulary:,} entries; its mask is {code(facts.mask_token)}.",
        "A sentence embedding is the mean of the last hidden states. Training did not teach it similarity of meaning.",
    ]
    if positions > trained:
        lines[1] += " Longer inputs are accepted, and how well it reads them was not trained."
    data = facts.manifest.get("data", {}).get("train", {})
    if data.get("tokens") and data.get("unknown_tokens") is not None:
        share = data["unknown_tokens"] / data["tokens"]
        lines[2] += f" {share:.2%} of the training tokens were unknown to it."
    tasks = list(dict.fromkeys(code(record.task) for record in facts.records))
    scored = f"Scores of these weights exist for {join_words(tasks)}" if len(tasks) > 1 else ""
    scored = scored or (f"A score of these weights exists for {tasks[0]}" if tasks else "No score of these weights")
    lines.append(f"{scored} only; all else is unmeasured." if tasks else f"{scored} is on record.")
    return lines


def code(text: object) -> str:
    """A text as code in a line: nothing in it is markup."""
    line = one_line(text) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def bullets(lines: Iterable[str]) -> str:
    """A list of lines that are Markdown already."""
    return "\n".join(f"- {line}" for line in lines)


def _table(name: str, caption: str, titles: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> Table:
    """A table whose first `texts` columns hold texts, and the others numbers."""
    columns = tuple(Column(title, numeric=i >= texts) for i, title in enumerate(titles))
    cells = tuple(tuple(Cell(one_line(text)) for text in row) for row in rows)
    return Table(name, caption, columns, cells)


def _training(facts: CardFacts) -> Table:
    model, environment = facts.recipe.model, facts.manifest.get("environment", {})
    parameters = facts.manifest.get("parameters")
    rows = [
        ("Parameters", number(parameters) if isinstance(parameters, int) else ""),
        ("Layers", f"{model.layers}; 1 in {model.global_every} reads the whole text, the others {model.window} tokens"),
        ("Width", f"{model.hidden}, {model.heads} heads, {model.intermediate} in the feed-forward layers"),
        ("Tokens read", f"{facts.tokens:,}, padding excluded"),
        ("Time in training steps", duration(facts.seconds) if facts.seconds else ""),
        ("Precision", str(facts.manifest.get("precision", ""))),
        ("Begun", str(facts.manifest.get("created", ""))),
        ("Machine", _listed(environment, MACHINE)),
        ("Versions", f"anaume {facts.manifest.get('anaume', '')}, {_listed(environment, VERSIONS)}"),
        ("Recorded changes", str(len(facts.manifest.get("changes", []))) if facts.manifest.get("changes") else ""),
    ]
    return _table("training", "What was trained, for how long, on what.", ("", ""), [row for row in rows if row[1]], 2)


def _stages(facts: CardFacts) -> Table:
    titles = ("Stage", "Longest piece", "Tokens a step", "Steps", "Learning rate", "Optimizer", "Masked")
    rows = [
        (
            stage.name,
            f"{stage.length:,}",
            f"{stage.batch_tokens:,}",
            f"{facts.checkpoint.step if stage.name == facts.checkpoint.stage else stage.steps:,}",
            number(stage.learning_rate),
            stage.optimizer,
            f"{stage.mask_rate:.0%}",
        )
        for stage in facts.stages
    ]
    return _table("stages", "The stages up to this checkpoint, in order.", titles, rows, 1)


def _sources(facts: CardFacts) -> list[str]:
    data = facts.manifest.get("data", {}).get("train", {})
    lines = [
        code(source) + (f", weight {source.weight:g}" if source.weight != 1 else "")
        for source in facts.recipe.corpus.train
    ]
    counts = [f"{data[key]:,} {key}" for key in ("documents", "tokens", "characters") if isinstance(data.get(key), int)]
    return [*lines, *([f"In all {join_words(counts)}."] if len(counts) > 1 else [])]


def _evaluation(facts: CardFacts) -> str:
    if not facts.records:
        return "The run holds no evaluation of these weights. `anaume eval` makes them, and a new export shows them."
    rows = [row for record in facts.records for row in _scores(record)]
    notes = [
        f"{code(record.task)}: {markdown_text(str(note))}"
        for record in facts.records
        for note in record.settings.get("notes", [])
    ]
    table = markdown(_table("scores", "Measured on exactly these weights.", ("Task", "Metric", "Value", "n"), rows, 2))
    return "\n\n".join([table.strip(), *([bullets(notes)] if notes else [])])


def _scores(record: Record) -> list[tuple[str, str, str, str]]:
    """A row for each metric; a standard deviation follows its mean."""
    metrics = finite_metrics(record)
    deviations = {name: metrics[f"{name}_std"] for name in metrics if f"{name}_std" in metrics}
    return [
        (
            record.task,
            name,
            number(value) + (f" ± {number(deviations[name])}" if name in deviations else ""),
            f"{record.n:,}",
        )
        for name, value in metrics.items()
        if name.removesuffix("_std") not in deviations or name in deviations
    ]


def _listed(environment: dict[str, object], keys: Sequence[str]) -> str:
    return ", ".join(f"{key} {environment[key]}" for key in keys if environment.get(key) not in (None, ""))
