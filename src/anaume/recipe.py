"""One TOML file = one run; a stage is one table in it.

`load` reads a file, applies `--set key=value` changes and returns a frozen `Recipe`. Unknown keys, wrong types and
impossible values are errors that name the file, the key and what is accepted. The defaults of the model and of a stage
are the paper's (arXiv 2504.15544, Table 1).
"""

import hashlib
import json
import tomllib
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from anaume.corpus.source import Source
from anaume.errors import UserError

# Upper ends of the bins by which the lengths of documents are compared, in tokens (arXiv 2504.15544, section 4.4).
LENGTH_BINS = (1024, 2048, 4096, 8192)

# What a run may change when it goes on, for training computes the same (`compile`: but for rounding, on a GPU).
FREE_KEYS = {"compile", "trackers", "gradient_checkpointing"}
FREE_KEYS |= {"log_every", "validate_every", "save_every", "keep_every", "keep_last", "keep_steps"}

Precision = Literal["auto", "bfloat16", "float32"]


class Table(BaseModel):
    """A table of a recipe: unknown keys are errors, and a string is never taken for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Corpus(Table):
    """The texts to learn from and the texts to measure on.

    `in_memory`  encode the training texts at each start and hold them in memory, without a store on the disk
    """

    train: list[Source] = Field(min_length=1)
    validation: list[Source] = Field(min_length=1)
    in_memory: bool = False


class TokenizerTable(Table):
    """One of: train a Unigram of `train` entries on the corpus; `adapt` a decoder's; `load` an encoder's."""

    train: int = Field(0, ge=0)
    adapt: str = ""
    load: str = ""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in ("train", "adapt", "load") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"give one of train, adapt, load (got {', '.join(given) or 'none'})")
        if self.train and self.train < 512:
            raise ValueError(f"train = {self.train}: a vocabulary has 512 entries or more (256 of them are the bytes)")
        return self


class Model(Table):
    """ModernBERT's shape. `init` names a Hugging Face checkpoint to continue from, of this same shape."""

    layers: int = Field(22, ge=1)
    hidden: int = Field(768, ge=2)
    heads: int = Field(12, ge=1)
    intermediate: int = Field(1152, ge=1)
    positions: int = Field(8192, ge=8)
    global_every: int = Field(3, ge=1)
    window: int = Field(128, ge=2)
    init: str = ""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ValueError(
                f"heads = {self.heads} with hidden = {self.hidden}: hidden / heads must be a whole, even number"
            )
        if self.window % 2:
            raise ValueError(f"window = {self.window}: the window has two equal sides, give an even number")
        return self


class Stage(Table):
    """One stage of training. Batches are counted in token slots, over all ranks.

    A run that goes on may change those keys of `FREE_KEYS`, and everything of a stage that has not begun.

    `schedule`       after a linear rise over `warmup_steps`: "linear" or "cosine" falls to `final_learning_rate`; "wsd"
                     (warm-up, stable, decay) stays at its peak and falls over the last `decay_steps`
    `gradient_checkpointing`  compute each layer again in the backward pass: less memory, about a third more time
    `optimizer`      "adamw", or "muon" for the layers' matrices with AdamW for the rest
    `documents`      "split" cuts a long document into pieces, at the end of a sentence where one is near; "truncate"
                     keeps its first piece only (the paper's way)
    `packing`        false gives each document a row of `length` slots, padded (the paper's way)
    `min_document_tokens`  leave out shorter documents
    `length_shares`  wanted shares of tokens in pieces of [0, 1024], (1024, 2048], (2048, 4096] and (4096, 8192] tokens;
                     of the bins that have too much a part is left out, another one each epoch; empty: as they come
    `mask_rate`      share of tokens to predict, moving to `final_mask_rate` over the stage (0: it stays)
    `mask_share`     of those, so many become the mask and `random_share` a random token, the others stay
    `mask_unit`      what is hidden as a whole: "token", "word" (MeCab's, the `words` extra) or "span", of
                     `mask_span_length` tokens in the mean
    `rope_theta`     base of the rotary positions in global layers; 0 keeps that of `model.init`, and is its default
    `local_rope_theta`  the same for local layers; 0: as `rope_theta`
    `validation_tokens`  at most so many tokens of the validation corpus are scored each time
    `keep_every`     of the checkpoints made every `save_every` steps, those at a multiple of this are kept, beside the
                     first, the stage's last, those at `keep_steps` and the run's `keep_last` newest; 0 keeps all
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    length: int = Field(1024, ge=8)
    steps: int = Field(500_000, ge=1)
    batch_tokens: int = Field(3_407_872, ge=8)
    micro_batch_tokens: int = Field(26_624, ge=8)
    learning_rate: float = Field(5e-4, gt=0)
    warmup_steps: int = Field(24_000, ge=0)
    schedule: Literal["linear", "cosine", "wsd"] = "linear"
    decay_steps: int = Field(0, ge=0)
    final_learning_rate: float = Field(0.0, ge=0)
    optimizer: Literal["adamw", "muon"] = "adamw"
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    adam_beta2: float = Field(0.98, ge=0, lt=1)
    adam_eps: float = Field(1e-6, gt=0)
    weight_decay: float = Field(1e-5, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    gradient_checkpointing: bool = False
    documents: Literal["split", "truncate"] = "split"
    packing: bool = True
    mask_rate: float = Field(0.3, gt=0, lt=1)
    final_mask_rate: float = Field(0.0, ge=0, lt=1)
    mask_share: float = Field(0.8, ge=0, le=1)
    random_share: float = Field(0.1, ge=0, le=1)
    mask_unit: Literal["token", "word", "span"] = "token"
    mask_span_length: float = Field(3.0, ge=1)
    rope_theta: float = Field(10_000.0, ge=0)
    local_rope_theta: float = Field(0.0, ge=0)
    min_document_tokens: int = Field(0, ge=0)
    length_shares: list[float] = []
    validation_tokens: int = Field(1_048_576, ge=1)
    validate_every: int = Field(500, ge=1)
    save_every: int = Field(1000, ge=1)
    keep_every: int = Field(0, ge=0)
    keep_last: int = Field(2, ge=1)
    keep_steps: list[int] = []
    log_every: int = Field(10, ge=1)

    def keeps(self, step: int) -> bool:
        """Whether the checkpoint of this step stays when newer ones have come."""
        return step in (0, self.steps, *self.keep_steps) or step % max(1, self.keep_every) == 0

    @model_validator(mode="after")
    def _batches_fit(self) -> Self:
        if self.micro_batch_tokens < self.length:
            raise ValueError(
                f"micro_batch_tokens = {self.micro_batch_tokens}: a micro-batch must hold length = {self.length}"
            )
        if missed := [step for step in self.keep_steps if step % self.save_every]:
            raise ValueError(f"keep_steps: {missed[0]}: must be a multiple of save_every = {self.save_every}")
        if self.batch_tokens % self.micro_batch_tokens:
            raise ValueError(
                f"batch_tokens = {self.batch_tokens}: must be a multiple of"
                f" micro_batch_tokens = {self.micro_batch_tokens}"
            )
        if not self.packing and self.micro_batch_tokens % self.length:
            raise ValueError(
                f"micro_batch_tokens = {self.micro_batch_tokens}: without packing it must be a multiple of"
                f" length = {self.length}"
            )
        if int(self.mask_rate * self.micro_batch_tokens) < 1:
            raise ValueError(f"mask_rate = {self.mask_rate}: hides no token of micro_batch_tokens; give a larger one")
        if self.mask_share + self.random_share > 1:
            raise ValueError(
                f"mask_share = {self.mask_share} and random_share = {self.random_share}: together at most 1"
            )
        if self.warmup_steps + self.decay_steps > self.steps:
            raise ValueError(
                f"warmup_steps = {self.warmup_steps} and decay_steps = {self.decay_steps}: together at most"
                f" steps = {self.steps}"
            )
        if (self.schedule == "wsd") != bool(self.decay_steps):
            raise ValueError(f"decay_steps = {self.decay_steps}: schedule 'wsd' needs it, and no other takes it")
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"final_learning_rate = {self.final_learning_rate}: at most learning_rate = {self.learning_rate}"
            )
        return self

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        shares = self.length_shares
        if shares and (len(shares) != len(LENGTH_BINS) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6):
            raise ValueError(f"length_shares = {shares}: give {len(LENGTH_BINS)} shares of 0 or more that add up to 1")
        reachable = 1 + bisect_left(LENGTH_BINS, self.length)
        if any(shares[reachable:]):
            raise ValueError(f"length_shares = {shares}: no piece is longer than length = {self.length}")
        return self


class Recipe(Table):
    """A whole run, from text to the last stage's checkpoint.

    `compile`    compile the network on a GPU (torch.compile); nothing on a CPU
    `precision`  what matrices are multiplied in: "auto" is bfloat16 on a GPU and float32 on a CPU; "bfloat16" is faster
                 on a CPU with AVX-512 BF16 or AMX; "float32" is for comparing, and never compiled. Weights, their
                 gradients and the residual stream are float32 always
    `trackers`   where metrics also go, through accelerate: "tensorboard", "wandb", "trackio"; each to be installed
    """

    name: str = Field(min_length=1)
    seed: int = Field(42, ge=0)
    compile: bool = True
    precision: Precision = "auto"
    trackers: list[Literal["tensorboard", "wandb", "trackio"]] = []
    corpus: Corpus
    tokenizer: TokenizerTable
    model: Model = Model()
    stage: list[Stage] = Field(min_length=1)

    @field_validator("stage")
    @classmethod
    def _keep_theta(cls, stages: list[Stage], info: ValidationInfo) -> list[Stage]:
        """A checkpoint to continue from has its own thetas: a stage that gives none keeps them."""
        if not ("model" in info.data and info.data["model"].init):
            return stages
        return [s if "rope_theta" in s.model_fields_set else s.model_copy(update={"rope_theta": 0.0}) for s in stages]

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        names = [stage.name for stage in self.stage]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"stage name {', '.join(sorted(repeated))!r} is given twice")
        for stage in self.stage:
            if stage.length > self.model.positions:
                raise ValueError(
                    f"stage {stage.name!r}: length = {stage.length} is above model.positions = {self.model.positions}"
                )
            if not stage.rope_theta and not self.model.init:
                raise ValueError(f"stage {stage.name!r}: rope_theta = 0 keeps that of model.init, which is not given")
        return self


def load(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `key=value` changes, such as `stage.0.steps=100` or `tokenizer.adapt=a.model`.

    Raises:
        UserError: the file is missing or not TOML; a key is unknown; a value has the wrong type or is impossible.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot read the recipe ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not TOML ({error})") from error
    for change in changes:
        _apply(table, change)
    return parse(table, str(path))


def parse(table: dict[str, Any], place: str) -> Recipe:
    """Check a recipe given as nested dictionaries; `place` begins the error's line."""
    try:
        return Recipe.model_validate(table)
    except pydantic.ValidationError as error:
        raise UserError(f"{place}: {_first_problem(error)}") from None


# A source has one origin and a tokenizer one way of being made: setting one on the command line takes the place of the
# others, and of what was said about them.
_ORIGINS, _OF_THE_ORIGIN = (
    ("path", "hub", "builtin", "tokens"),
    ("subset", "split", "megabytes", "skip_documents", "max_documents"),
)
_WAYS = ("train", "adapt", "load")


def _apply(table: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise UserError(f"--set {change}: give key=value, such as stage.0.steps=100")
    *parents, last = key.split(".")
    node: Any = table
    for part in parents:
        node = _child(node, part, change)
    if isinstance(node, list):
        node[_index(node, last, change)] = _value(text)
        return
    replaced: tuple[str, ...] = ()
    if parents[:1] == ["corpus"] and last in _ORIGINS and len(parents) == 3:
        replaced = (*_ORIGINS, *_OF_THE_ORIGIN)
    elif parents == ["tokenizer"] and last in _WAYS:
        replaced = _WAYS
    for key in replaced:
        node.pop(key, None)
    node[last] = _value(text)


def _child(node: Any, part: str, change: str) -> Any:
    child = node[_index(node, part, change)] if isinstance(node, list) else node.setdefault(part, {})
    if not isinstance(child, dict | list):
        raise UserError(f"--set {change}: {part!r} is a value, not a table")
    return child


def _index(node: list[Any], part: str, change: str) -> int:
    """An entry of a list of tables is named by its number or, for stages, by its `name`."""
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in node]
    if part in names:
        return names.index(part)
    if part.isdecimal() and int(part) < len(node):
        return int(part)
    accepted = [str(number) for number in range(len(node))] + [name for name in names if name]
    raise UserError(f"--set {change}: no entry {part!r}; accepted: {', '.join(accepted)}")


def _value(text: str) -> Any:
    """A TOML value where the text is one, otherwise the text itself, so that paths need no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _first_problem(error: pydantic.ValidationError) -> str:
    """The first problem in one line: key, value and what is accepted."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    match problem["type"]:
        case "extra_forbidden":
            accepted = ", ".join(_keys_at(problem["loc"][:-1]))
            return f"unknown key {key!r}; accepted: {accepted}"
        case "missing":
            return f"{key} is missing"
        case "value_error":
            return f"{key}: {message}" if key else message
    return f"{key} = {json.dumps(problem['input'], ensure_ascii=False, default=str)}: {message}"


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    table: type[BaseModel] = Recipe
    tables: dict[str, type[BaseModel]] = {"corpus": Corpus, "tokenizer": TokenizerTable, "model": Model, "stage": Stage}
    for part in location:
        if part in ("train", "validation"):
            table = Source
        elif isinstance(part, str):
            table = tables[part]
    return list(table.model_fields)


def to_toml(recipe: Recipe) -> str:
    """The resolved recipe, every default written out, as TOML that `load` reads back to the same recipe."""
    lines = [f"name = {_toml(recipe.name)}", f"seed = {recipe.seed}", f"compile = {_toml(recipe.compile)}"]
    lines += [f"precision = {_toml(recipe.precision)}", f"trackers = {_toml(recipe.trackers)}"]
    lines += ["", "[corpus]", f"in_memory = {_toml(recipe.corpus.in_memory)}"]
    for kind in ("train", "validation"):
        for source in getattr(recipe.corpus, kind):
            lines += ["", f"[[corpus.{kind}]]", *_entries(source)]
    lines += ["", "[tokenizer]", *_entries(recipe.tokenizer), "", "[model]", *_entries(recipe.model)]
    for stage in recipe.stage:
        lines += ["", "[[stage]]", *_entries(stage)]
    return "\n".join(lines) + "\n"


def _entries(table: BaseModel) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in table.model_dump().items()]


def _toml(value: Any) -> str:
    """TOML's strings, booleans, integers and floats are JSON's for the values that a recipe holds."""
    return json.dumps(value, ensure_ascii=False)


def fingerprint(recipe: Recipe) -> str:
    """A hash that two recipes share exactly when they make the same run."""
    return hashlib.sha256(to_toml(recipe).encode()).hexdigest()


def first_difference(ours: Recipe, theirs: Recipe, begun: int) -> str:
    """The first key in which two recipes differ that a run may not change, with both values; empty if none does.

    A run may change `FREE_KEYS`, and all of the stages after the `begun` ones that it has begun.
    """
    for key, (left, right) in differences(ours, theirs).items():
        parts = key.split(".")
        if FREE_KEYS.isdisjoint(parts) and not (parts[0] == "stage" and int(parts[1]) >= begun):
            return f"{_entry(key, left)} there, {_entry(key, right)} here"
    return ""


def differences(ours: Recipe, theirs: Recipe) -> dict[str, tuple[Any, Any]]:
    """All keys in which two recipes differ, with both values: None where there is no such key."""
    left, right = dict(flat(ours)), dict(flat(theirs))
    pairs = {key: (left.get(key), right.get(key)) for key in left | right}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _entry(key: str, value: Any) -> str:
    return f"no {key}" if value is None else f"{key} = {value!r}"


def flat(recipe: Recipe) -> list[tuple[str, Any]]:
    """Each key, as `--set` names it, with its value."""

    def walk(prefix: str, value: Any) -> list[tuple[str, Any]]:
        if isinstance(value, dict):
            return [pair for key, child in value.items() for pair in walk(f"{prefix}.{key}" if prefix else key, child)]
        if isinstance(value, list):
            return [pair for index, child in enumerate(value) for pair in walk(f"{prefix}.{index}", child)]
        return [(prefix, value)]

    return walk("", recipe.model_dump())
