"""What the user gives to `anaume reproduce`, checked before anything heavy is imported."""

from dataclasses import dataclass
from pathlib import Path

from anaume.corpus.readers import check_source, parse_source
from anaume.errors import UserError


@dataclass(frozen=True)
class Inputs:
    """Sources of text, and files of the evaluations. Without text, the built-in corpus and its tasks are used."""

    text: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    pairs: Path | None = None
    data: Path | None = None
    cloze: Path | None = None

    def check(self) -> None:
        """Find mistakes before the work begins.

        Raises:
            UserError: a file, a folder or text is missing, or text for validation is given without text.
        """
        if self.validation and not self.text:
            raise UserError("--validation: given without --text; expected both, or none for the built-in corpus")
        for text in (*self.text, *self.validation):
            check_source(parse_source(text))
        for option in ("pairs", "data", "cloze"):
            path = getattr(self, option)
            if path is not None and not path.exists():
                raise UserError(f"--{option} {path}: no such file or folder; expected an existing one")
