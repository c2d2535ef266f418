"""Which documents an optimizer step read: a run, a stage and a step → lines for a person, who looks for a bad batch."""

from collections.abc import Iterator

from anaume.batches.loader import Position, advance
from anaume.batches.window import pack_window, read_rows
from anaume.errors import UserError
from anaume.pretrain.checkpoint import read_state
from anaume.pretrain.prepare import prepare
from anaume.run import Run
from anaume.tokenizer.folder import read_tokenizer_json

# Characters of each piece that are shown.
SHOWN = 60


def look(run: Run, stage_name: str, step: int) -> Iterator[str]:
    """A line for each piece of text that step `step` (from 1) of a stage read, unmasked.

    The step needs no checkpoint: its position follows from the nearest one before it.

    Raises:
        UserError: no such stage or step.
    """
    recipe = run.recipe()
    stages = {stage.name: stage for stage in recipe.stage}
    if stage_name not in stages:
        raise UserError(f"--stage {stage_name!r}: accepted: {', '.join(stages)}")
    stage = stages[stage_name]
    if not 1 <= step <= stage.steps:
        raise UserError(f"--step {step}: accepted: 1 … {stage.steps}")
    data = prepare(recipe, run)
    plan = data.plan(recipe, stage, "train")
    engine = read_tokenizer_json(run.tokenizer)

    before = [name for name in run.checkpoints() if name.stage == stage_name and name.step < step]
    position = read_state(run.checkpoint(before[-1])).position if before else Position()
    done = before[-1].step if before else 0
    accumulation = stage.batch_tokens // stage.micro_batch_tokens
    position = advance(plan, position, (step - 1 - done) * accumulation)
    for _ in range(accumulation):
        window = pack_window(plan, position.epoch, position.window)
        texts = read_rows(plan, window, [position.row])[position.row]
        yield f"micro-batch {position.batches}: epoch {position.epoch}, window {position.window}, row {position.row}"
        for piece, ids in zip(window.rows[position.row], texts, strict=True):
            document = window.pieces.document[piece]
            begin, end = int(window.pieces.start[piece]), int(window.pieces.stop[piece])
            text = " ".join(engine.decode(ids[: 2 * SHOWN].tolist()).split())[:SHOWN]
            place = f"source {window.source[document]}, document {window.document[document]}"
            yield f"  {place}, tokens {begin}-{end}: {text}"
        position = advance(plan, position, 1)
