"""The size of a stage, which the other parts of its table build on, and what all tables share."""

from typing import Self

from pydantic import Field, model_validator
from pydantic.config import JsonDict

from anaume.bounds import MOST_LENGTH, MOST_STEPS, MOST_TOKENS
from anaume.corpus.source import TomlTable
from anaume.recipe import defaults

# Marks a key that a resumed run may change, because training computes the same numbers with any value of it (`compile`:
# but for rounding, on a GPU).
FREE: JsonDict = {"free": True}


class SizePart(TomlTable):
    """How long the stage, its batches and its pieces of text are."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        max_length=100,
        description="Name of the stage. It names the folder of its checkpoints, and `--set` takes it in place of the "
        "number of the stage.",
    )
    length: int = Field(
        defaults.LENGTH, ge=8, le=MOST_LENGTH, description="Longest piece of text in tokens, [CLS] and [SEP] included."
    )
    steps: int = Field(defaults.STEPS, ge=1, le=MOST_STEPS, description="Number of optimizer steps.")
    batch_tokens: int = Field(
        defaults.BATCH_TOKENS,
        ge=8,
        le=MOST_TOKENS,
        description="Token slots of one optimizer step, summed over all ranks. A multiple of `micro_batch_tokens`.",
    )
    micro_batch_tokens: int = Field(
        defaults.MICRO_BATCH_TOKENS,
        ge=8,
        le=1 << 28,
        description="Token slots that one rank computes at a time. At least `length`; a multiple of it without "
        "`packing`.",
    )

    @model_validator(mode="after")
    def _batches_fit(self) -> Self:
        size = self.micro_batch_tokens
        if size < self.length:
            raise ValueError(f"micro_batch_tokens = {size}: too small; expected at least length = {self.length}")
        if self.batch_tokens % size:
            raise ValueError(
                f"batch_tokens = {self.batch_tokens}: no whole number of micro-batches; expected a multiple of"
                f" micro_batch_tokens = {size}"
            )
        return self
