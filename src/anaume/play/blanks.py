"""The tab of blanks: a text with [MASK] → the most probable fillings of every model."""

from collections.abc import Sequence

from anaume.encoder.load import Encoder
from anaume.errors import UserError
from anaume.evals.fill_mask import Prediction, predict
from anaume.evals.inputs.cloze import PLACEHOLDER
from anaume.play.limits import one_text

MASKS = 8


def fill(encoders: Sequence[Encoder], text: str, k: int = 8) -> dict[str, list[Prediction]]:
    """Return model → its k most probable fillings of all blanks, best first.

    Raises:
        UserError: no blank or too many, a text that is too long.
    """
    one_text(text)
    if not 1 <= (count := text.count(PLACEHOLDER)) <= MASKS:
        raise UserError(f"text: {count} blanks; expected 1 to {MASKS} written as {PLACEHOLDER}")
    return {encoder.name: predict(encoder, text, k) for encoder in encoders}
