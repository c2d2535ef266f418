"""The table `[[stage]]` of a recipe, composed of one part for each subject; the parts' keys lie flat in the table.

The defaults are those of the paper (arXiv 2504.15544, Table 1), scaled to the steps by `recipe.defaults`.
"""

from bisect import bisect_left
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from anaume.bounds import MOST_LEARNING_RATE, MOST_STEPS, MOST_TOKENS
from anaume.corpus.source import TomlTable
from anaume.recipe import defaults
from anaume.recipe.records import RecordsPart
from anaume.recipe.size import FREE, SizePart

# Upper ends of the bins by which the lengths of documents are compared, in tokens (arXiv 2504.15544, section 4.4).
LENGTH_BINS = (1024, 2048, 4096, 8192)


class SchedulePart(SizePart):
    """The learning rate as a function of the optimizer step."""

    learning_rate: float = Field(5e-4, gt=0, le=MOST_LEARNING_RATE, description="Peak learning rate.")
    warmup_steps: int = Field(
        24_000,
        ge=0,
        le=MOST_STEPS,
        description="Steps W over which the learning rate rises linearly to its peak. Step s, counted from 0, has "
        "(s + 1) / (W + 1) of the peak, so that the first step is not lost; schedulers that begin at 0 have s / W.",
    )
    schedule: Literal["linear", "cosine", "wsd"] = Field(
        "linear",
        description='Course of the learning rate after the warm-up. "linear" and "cosine" fall to '
        '`final_learning_rate` over the rest of the stage. "wsd" (warm-up, stable, decay) stays at the peak and falls '
        "linearly over the last `decay_steps` steps; without them it stays at the peak, for a later stage to go on.",
    )
    decay_steps: int = Field(
        0,
        ge=0,
        le=MOST_STEPS,
        description='Steps of the decay at the end of schedule "wsd"; 0 for the other schedules.',
    )
    final_learning_rate: float = Field(
        0.0, ge=0, description="Learning rate at the end of the stage. At most `learning_rate`."
    )

    @model_validator(mode="after")
    def _schedule_fits(self) -> Self:
        if self.warmup_steps + self.decay_steps > self.steps:
            raise ValueError(
                f"warmup_steps = {self.warmup_steps} and decay_steps = {self.decay_steps}: too long; expected a sum of"
                f" at most steps = {self.steps}"
            )
        if self.decay_steps and self.schedule != "wsd":
            raise ValueError(f"decay_steps = {self.decay_steps}: does not fit schedule = {self.schedule!r}; expected 0")
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"final_learning_rate = {self.final_learning_rate}: above the peak; expected at most"
                f" learning_rate = {self.learning_rate}"
            )
        return self


class OptimizerPart(TomlTable):
    """How gradients become updates of the weights."""

    optimizer: Literal["adamw", "muon"] = Field(
        "adamw",
        description='"adamw" updates all weights with AdamW. "muon" updates the matrices of the layers with Muon and '
        "the other weights with AdamW.",
    )
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="Decay of AdamW's running mean of the gradient.")
    adam_beta2: float = Field(0.98, ge=0, lt=1, description="Decay of AdamW's running mean of the squared gradient.")
    adam_eps: float = Field(1e-6, ge=1e-30, le=1, description="Term that AdamW adds to the denominator of an update.")
    weight_decay: float = Field(
        1e-5, ge=0, le=100, description="Decoupled weight decay of the matrices. Norms and biases are not decayed."
    )
    keep_moments: bool = Field(
        False,
        description="Go on with the optimizer's moments of the stage before, which has the same optimizer. Otherwise "
        "they begin at zero, and the stage needs a warm-up.",
    )
    gradient_clip: float = Field(
        1.0, gt=0, le=1e9, description="Largest norm of the gradient; a longer one is scaled to it."
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Compute each layer again in the backward pass: less memory, about a third more time.",
        json_schema_extra=FREE,
    )


class RowsPart(SizePart):
    """How documents become rows of token slots."""

    documents: Literal["split", "truncate"] = Field(
        "split",
        description='Treatment of a document longer than `length`. "split" cuts it into pieces, at the end of a '
        'sentence where one is near. "truncate" keeps its first piece only (the paper\'s way).',
    )
    packing: bool = Field(
        True,
        description="Pack several pieces into a row without padding. `false` gives each piece its own padded row of "
        "`length` slots (the paper's way).",
    )

    @model_validator(mode="after")
    def _rows_fit(self) -> Self:
        if not self.packing and self.micro_batch_tokens % self.length:
            raise ValueError(
                f"micro_batch_tokens = {self.micro_batch_tokens}: no whole number of rows without packing; expected a"
                f" multiple of length = {self.length}"
            )
        return self


class ObjectivePart(TomlTable):
    """What the network learns to predict."""

    objective: Literal["masked", "causal"] = Field(
        "masked",
        description='"masked" predicts masked tokens from both sides. "causal" predicts each token from those before '
        "it, and all layers look back only; use it for the first part of a training that goes on masked. Validation is "
        "masked in both cases; a causal stage also logs the causal loss.",
    )
    causal_targets: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Fraction of the tokens that a causal stage predicts, drawn at random. All of them cost the head "
        "1 / `mask_rate` times the arithmetic of a masked stage.",
    )

    @model_validator(mode="after")
    def _targets_fit(self) -> Self:
        if self.objective == "masked" and "causal_targets" in self.model_fields_set and self.causal_targets != 1:
            raise ValueError(
                f"causal_targets = {self.causal_targets}: only a causal stage reads it; expected"
                ' objective = "causal", or no such key'
            )
        return self


class MaskingPart(SizePart):
    """Which tokens the network predicts, and what it sees in their place."""

    mask_rate: float = Field(
        0.3, gt=0, lt=1, description="Fraction of the tokens to predict, at the start of the stage."
    )
    final_mask_rate: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Fraction of the tokens to predict at the end of the stage, reached linearly; 0 keeps `mask_rate`.",
    )
    mask_share: float = Field(
        0.8, ge=0, le=1, description="Fraction of the tokens to predict that [MASK] replaces in the input."
    )
    random_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Fraction of the tokens to predict that a random token replaces in the input. The rest keep their "
        "token.",
    )
    mask_unit: Literal["token", "word", "span"] = Field(
        "token",
        description='What is selected as a whole: "token"; "word", a word of MeCab\'s (needs the extra `words`); or '
        '"span", a run of tokens.',
    )
    mask_span_length: float = Field(
        3.0, ge=1, le=1000, description='Mean length of a span in tokens, for `mask_unit = "span"`.'
    )

    @model_validator(mode="after")
    def _masks_fit(self) -> Self:
        if int(self.mask_rate * self.micro_batch_tokens) < 1:
            raise ValueError(
                f"mask_rate = {self.mask_rate}: hides no token; expected at least one token of"
                f" micro_batch_tokens = {self.micro_batch_tokens}"
            )
        if self.mask_share + self.random_share > 1:
            raise ValueError(
                f"mask_share = {self.mask_share} and random_share = {self.random_share}: too large; expected a sum of"
                " at most 1"
            )
        return self


class PositionsPart(TomlTable):
    """The rotary position embedding."""

    rope_theta: float = Field(
        10_000.0,
        ge=0,
        le=1e12,
        description="Base of the rotary position embedding in global layers; 0 keeps that of `model.init`, and is the "
        "default where `model.init` is set.",
    )
    local_rope_theta: float = Field(
        0.0, ge=0, le=1e12, description="Base of the rotary position embedding in local layers; 0 takes `rope_theta`."
    )


class SelectionPart(SizePart):
    """Which documents and pieces the stage reads."""

    min_document_tokens: int = Field(
        0, ge=0, le=MOST_TOKENS, description="Length in tokens below which a document is left out of training."
    )
    length_shares: list[float] = Field(
        [],
        description="Fractions of the training tokens to take from pieces of [0, 1024], (1024, 2048], (2048, 4096] and "
        "(4096, 8192] tokens; four numbers that add up to 1. Pieces from over-represented bins are dropped at random, "
        "a different subset each epoch. An empty list keeps all pieces.",
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        shares = self.length_shares
        if shares and (len(shares) != len(LENGTH_BINS) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6):
            raise ValueError(
                f"length_shares = {shares}: no shares of the bins; expected {len(LENGTH_BINS)} numbers of 0 or more"
                " that add up to 1"
            )
        reachable = 1 + bisect_left(LENGTH_BINS, self.length)
        if any(shares[reachable:]):
            raise ValueError(
                f"length_shares = {shares}: no piece is longer than length = {self.length}; expected 0 for the bins"
                " above it"
            )
        return self


# Pydantic orders the fields of several bases from the last to the first.
class Stage(
    RecordsPart,
    SelectionPart,
    PositionsPart,
    MaskingPart,
    ObjectivePart,
    RowsPart,
    OptimizerPart,
    SchedulePart,
    SizePart,
):
    """One stage of training. Batches are counted in token slots, summed over all ranks."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, table: Any) -> Any:
        return defaults.fill_stage(table) if isinstance(table, dict) else table
