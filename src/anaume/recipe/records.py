"""The part of a stage's table about its validations, checkpoints and logs."""

from typing import Self

from pydantic import Field, model_validator

from anaume.bounds import MOST_STEPS, MOST_TOKENS
from anaume.recipe.size import FREE, SizePart

# The default of `validation_tokens`: its share of the arithmetic of training, and the largest number.
VALIDATION_SHARE, MOST_VALIDATION_TOKENS = 0.05, 1_048_576


class RecordsPart(SizePart):
    """How often the stage validates, saves checkpoints and logs, and which checkpoints stay."""

    validation_tokens: int = Field(
        0,
        ge=0,
        le=MOST_TOKENS,
        description="Largest number of tokens of the validation corpus that a validation reads; validation sets share "
        "it equally. The default keeps "
        "validation under about 5 % of the arithmetic of training, with at most 1,048,576 tokens; the resolved recipe "
        "holds the number.",
    )
    validate_every: int = Field(
        500, ge=1, le=MOST_STEPS, description="Steps between two validations.", json_schema_extra=FREE
    )
    save_every: int = Field(
        1000, ge=1, le=MOST_STEPS, description="Steps between two checkpoints.", json_schema_extra=FREE
    )
    keep_every: int = Field(
        0,
        ge=0,
        le=MOST_STEPS,
        description="Checkpoints at multiples of this step are kept, beside the first and last of the stage, those of "
        "`keep_steps` and the newest ones (`keep_last`); 0 keeps all checkpoints.",
        json_schema_extra=FREE,
    )
    keep_last: int = Field(
        2,
        ge=1,
        le=MOST_STEPS,
        description="Number of newest checkpoints of the run that are kept.",
        json_schema_extra=FREE,
    )
    keep_steps: list[int] = Field(
        [],
        description="Further steps at which a checkpoint is written and kept, at most `steps`.",
        json_schema_extra=FREE,
    )
    log_every: int = Field(
        10,
        ge=1,
        le=MOST_STEPS,
        description="Steps between two training lines of metrics.jsonl.",
        json_schema_extra=FREE,
    )

    def saves(self, step: int) -> bool:
        """Whether a checkpoint is written at this step."""
        return step % self.save_every == 0 or step in (self.steps, *self.keep_steps)

    def keeps(self, step: int) -> bool:
        """Whether the checkpoint of this step stays when newer ones exist."""
        return step in (0, self.steps, *self.keep_steps) or step % max(1, self.keep_every) == 0

    @model_validator(mode="after")
    def _choose_validation_tokens(self) -> Self:
        """Resolve the default. Scoring a token takes a third of the arithmetic of training on it."""
        if not self.validation_tokens:
            validations = 2 + self.steps // self.validate_every
            share = int(VALIDATION_SHARE * 3 * self.steps * self.batch_tokens / validations)
            tokens = min(MOST_VALIDATION_TOKENS, max(self.length, share))
            object.__setattr__(self, "validation_tokens", tokens)  # the table is frozen once it is resolved
        return self

    @model_validator(mode="after")
    def _kept_steps_are_reached(self) -> Self:
        if outside := [step for step in self.keep_steps if not 0 < step <= self.steps]:
            raise ValueError(
                f"keep_steps = {self.keep_steps}: step {outside[0]} is not reached; expected from 1 to"
                f" steps = {self.steps}"
            )
        return self
