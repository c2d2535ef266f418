import json
import shutil
from itertools import islice
from pathlib import Path

import pytest

from anaume.batches.loader import batches
from anaume.errors import UserError
from anaume.pretrain.look import look
from anaume.pretrain.prepare import prepare
from anaume.recipe import Recipe
from anaume.run import Run


@pytest.mark.parametrize("step", [1, 4, 6])
def test_the_lines_are_the_documents_of_the_step(straight: Run, tiny: Recipe, step: int) -> None:
    data = prepare(tiny, straight)
    stage = tiny.stage[0]
    read = list(islice(batches(data.plan(tiny, stage, "train")), 12))[2 * (step - 1) : 2 * step]
    lines = list(look(straight, "first", step))
    titles = [line for line in lines if line.startswith("micro-batch")]
    assert [line.split(":")[0] for line in titles] == [f"micro-batch {2 * (step - 1)}", f"micro-batch {2 * step - 1}"]
    spans = [line.split("tokens ")[1].split(":")[0].split("-") for line in lines if line.startswith("  source")]
    lengths = [int(end) - int(begin) + 2 for begin, end in spans]
    assert lengths == [length for batch, _ in read for length in batch.text_lengths.tolist()]
    texts = [line.split(": ", 1)[1] for line in lines if line.startswith("  source")]
    lines = Path(tiny.corpus.train[0].path).read_text(encoding="utf-8").splitlines()
    corpus = "".join("".join(json.loads(line)["text"].split()) for line in lines)
    assert all(text[10:30].replace(" ", "") in corpus for text in texts if len(text) > 40)


def test_an_unknown_stage_or_step_is_an_error(straight: Run) -> None:
    with pytest.raises(UserError, match="--stage: third: no such stage; expected one of first, second"):
        next(look(straight, "third", 1))
    with pytest.raises(UserError, match="--step: 7: no step of stage first; expected 1 … 6"):
        next(look(straight, "first", 7))


def test_a_manifest_with_a_changed_key_is_one_line(straight: Run, tmp_path: Path) -> None:
    run = Run(shutil.copytree(straight.folder, tmp_path / "run"))
    manifest = run.manifest_file.read_text(encoding="utf-8")
    for old, new, line in (
        ('"most_tokens"', '"mosu_tokens"', "data.train.most_tokens: missing; expected the file that the run wrote"),
        ('"train"', '"tsain"', "data.train.most_tokens: missing; expected the file that the run wrote"),
        ('"most_tokens": ', '"most_tokens": [], "x": ', "data = .*: not a manifest; expected object"),
    ):
        run.manifest_file.write_text(manifest.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(UserError, match=rf"manifest.json: {line}"):
            next(look(run, "first", 1))
