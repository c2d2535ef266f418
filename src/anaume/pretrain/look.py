"""A run, a stage and an optimizer step → lines that show the text of the step, to find a bad batch."""

from collections.abc import Iterator

from anaume.batches.loader import Position, advance
from anaume.batches.window import pack_window, read_rows
from anaume.errors import UserError
from anaume.pretrain.checkpoint import state_of
from anaume.pretrain.prepare import prepare
from anaume.run import Run
from anaume.tokenizer.folder import read_tokenizer_json

# Characters shown of each piece.
SHOWN_CHARACTERS = 60


def look(run: Run, stage_name: str, step: int) -> Iterator[str]:
    """A line for each micro-batch and each piece that step `step` of a stage read, before masking.

    Steps are counted from 1. The search begins at the nearest checkpoint before the step.

    Raises:
        UserError: the run has no such stage or step.
    """
    recipe = run.recipe()
    stages = {stage.name: stage for stage in recipe.stage}
    if stage_name not in stages:
        raise UserError(f"--stage: {stage_name}: no such stage; expected one of {', '.join(stages)}")
    stage = stages[stage_name]
    if not 1 <= step <= stage.steps:
        raise UserError(f"--step: {step}: no step of stage {stage_name}; expected 1 … {stage.steps}")
    data = prepare(recipe, run)
    plan = data.plan(recipe, stage, "train")
    engine = read_tokenizer_json(run.tokenizer)

    earlier = [name for name in run.checkpoints() if name.stage == stage_name and name.step < step]
    position = state_of(run.checkpoint(earlier[-1])).position if earlier else Position()
    steps_before = earlier[-1].step if earlier else 0
    step_batches = stage.batch_tokens // stage.micro_batch_tokens
    position = advance(plan, position, (step - 1 - steps_before) * step_batches)
    for _ in range(step_batches):
        window = pack_window(plan, position.epoch, position.window)
        texts = read_rows(plan, window, [position.row])[position.row]
        yield f"micro-batch {position.batches}: epoch {position.epoch}, window {position.window}, row {position.row}"
        for piece, ids in zip(window.rows[position.row], texts, strict=True):
            document = window.pieces.document[piece]
            begin, end = int(window.pieces.start[piece]), int(window.pieces.stop[piece])
            text = " ".join(engine.decode(ids[: 2 * SHOWN_CHARACTERS].tolist()).split())[:SHOWN_CHARACTERS]
            place = f"source {window.source[document]}, document {window.document[document]}"
            yield f"  {place}, tokens {begin}-{end}: {text}"
        position = advance(plan, position, 1)
