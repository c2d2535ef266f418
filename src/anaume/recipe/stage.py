"""The table `[[stage]]` of a recipe, composed of one part for each subject; the parts' keys lie flat in the table.

The defaults are those of the paper (arXiv 2504.15544, Table 1).
"""

from bisect import bisect_left
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic.config import JsonDict

from anaume.corpus.source import TomlTable

# Upper ends of the bins by which the lengths of documents are compared, in tokens (arXiv 2504.15544, section 4.4).
LENGTH_BINS = (1024, 2048, 4096, 8192)

# The default of `validation_tokens`: its share of the arithmetic of training, and the largest number.
VALIDATION_SHARE, MOST_VALIDATION_TOKENS = 0.05, 1_048_576

# Marks a key that a resumed run may change, because training computes the same numbers with any value of it (`compile`:
# but for rounding, on a GPU).
FREE: JsonDict = {"free": True}


class SizePart(TomlTable):
    """How long the stage, its batches and its pieces of text are."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="Name of the stage. It names the folder of its checkpoints, and `--set` takes it in place of the "
        "number of the stage.",
    )
    length: int = Field(1024, ge=8, description="Longest piece of text in tokens, [CLS] and [SEP] included.")
    steps: int = Field(500_000, ge=1, description="Number of optimizer steps.")
    batch_tokens: int = Field(
        3_407_872,
        ge=8,
        description="Token slots of one optimizer step, summed over all ranks. A multiple of `micro_batch_tokens`.",
    )
    micro_batch_tokens: int = Field(
        26_624,
        ge=8,
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


class SchedulePart(SizePart):
    """The learning rate as a function of the optimizer step."""

    learning_rate: float = Field(5e-4, gt=0, description="Peak learning rate.")
    warmup_steps: int = Field(
        24_000, ge=0, description="Steps over which the learning rate rises linearly to its peak."
    )
    schedule: Literal["linear", "cosine", "wsd"] = Field(
        "linear",
        description='Course of the learning rate after the warm-up. "linear" and "cosine" fall to '
        '`final_learning_rate` over the rest of the stage. "wsd" (warm-up, stable, decay) stays at the peak and falls '
        "linearly over the last `decay_steps` steps; without them it stays at the peak, for a later stage to go on.",
    )
    decay_steps: int = Field(
        0, ge=0, description='Steps of the decay at the end of schedule "wsd"; 0 for the other schedules.'
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
    adam_eps: float = Field(1e-6, gt=0, description="Term that AdamW adds to the denominator of an update.")
    weight_decay: float = Field(
        1e-5, ge=0, description="Decoupled weight decay of the matrices. Norms and biases are not decayed."
    )
    keep_moments: bool = Field(
        False,
        description="Go on with the optimizer's moments of the stage before, which has the same optimizer. Otherwise "
        "they begin at zero, and the stage needs a warm-up.",
    )
    gradient_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient; a longer one is scaled to it.")
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
    mask_span_length: float = Field(3.0, ge=1, description='Mean length of a span in tokens, for `mask_unit = "span"`.')

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
        description="Base of the rotary position embedding in global layers; 0 keeps that of `model.init`, and is the "
        "default where `model.init` is set.",
    )
    local_rope_theta: float = Field(
        0.0, ge=0, description="Base of the rotary position embedding in local layers; 0 takes `rope_theta`."
    )


class SelectionPart(SizePart):
    """Which documents and pieces the stage reads."""

    min_document_tokens: int = Field(
        0, ge=0, description="Length in tokens below which a document is left out of training."
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


class RecordsPart(SizePart):
    """How often the stage validates, saves checkpoints and logs, and which checkpoints stay."""

    validation_tokens: int = Field(
        0,
        ge=0,
        description="Largest number of tokens of the validation corpus that a validation reads. The default keeps "
        "validation under about 5 % of the arithmetic of training, with at most 1,048,576 tokens; the resolved recipe "
        "holds the number.",
    )
    validate_every: int = Field(500, ge=1, description="Steps between two validations.", json_schema_extra=FREE)
    save_every: int = Field(1000, ge=1, description="Steps between two checkpoints.", json_schema_extra=FREE)
    keep_every: int = Field(
        0,
        ge=0,
        description="Checkpoints at multiples of this step are kept, beside the first and last of the stage, those of "
        "`keep_steps` and the newest ones (`keep_last`); 0 keeps all checkpoints.",
        json_schema_extra=FREE,
    )
    keep_last: int = Field(
        2, ge=1, description="Number of newest checkpoints of the run that are kept.", json_schema_extra=FREE
    )
    keep_steps: list[int] = Field(
        [],
        description="Further steps whose checkpoints are kept, multiples of `save_every`.",
        json_schema_extra=FREE,
    )
    log_every: int = Field(
        10, ge=1, description="Steps between two training lines of metrics.jsonl.", json_schema_extra=FREE
    )

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
    def _kept_steps_are_saved(self) -> Self:
        for step in self.keep_steps:
            if step % self.save_every:
                raise ValueError(
                    f"keep_steps = {self.keep_steps}: no checkpoint is saved at step {step}; expected multiples of"
                    f" save_every = {self.save_every}"
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
