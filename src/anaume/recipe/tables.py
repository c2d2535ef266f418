"""The tables of a recipe: the whole run, its corpora, its tokenizer and its network. Stages are in `recipe.stage`."""

from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo

from anaume.bounds import MOST_LENGTH, MOST_SEED
from anaume.corpus.source import Source, TomlTable
from anaume.recipe import defaults
from anaume.recipe.size import FREE
from anaume.recipe.stage import Stage

Precision = Literal["auto", "bfloat16", "float32"]

# The smallest vocabulary that can be trained: 256 entries are the bytes.
MIN_VOCABULARY = 512
# Weights of the largest network that a recipe may describe, without the vocabulary, and the longest name in bytes: file
# systems take 255, and a name gets endings.
MOST_WEIGHTS, MOST_NAME_BYTES = 10**11, 200


class Corpus(TomlTable):
    """The text that a run learns from and the text that it is measured on."""

    train: list[Source] = Field(min_length=1, description="Sources of the training text.")
    validation: list[Source] = Field(
        [], description="Sources of the validation text; none if `validation_share` is set."
    )
    validation_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Fraction of the documents of `train` that are held out for validation instead. The hash of its "
        "text and of its source's `seed` decides about a document, so equal texts stay together, and neither the order "
        "of the files nor the number of workers matters.",
    )
    in_memory: bool = Field(
        False,
        description="Encode the training text at each start and hold it in memory, instead of storing it on disk.",
    )

    @field_validator("train")
    @classmethod
    def _only_validation_sets_have_names(cls, train: list[Source]) -> list[Source]:
        if name := next((source.name for source in train if source.name), ""):
            raise ValueError(f"name = {name!r}: a source of training text; expected no name, or [[corpus.validation]]")
        return train

    @model_validator(mode="after")
    def _one_validation(self) -> Self:
        if self.validation_share and self.validation:
            raise ValueError(
                f"validation_share = {self.validation_share}: given with sources of validation text; expected one of "
                "the two"
            )
        if not (self.validation_share or self.validation):
            raise ValueError("validation: missing; expected sources of validation text, or validation_share")
        if self.validation_share and any(source.tokens for source in self.train):
            raise ValueError(
                f"validation_share = {self.validation_share}: a source of tokens has no text to choose by; expected "
                "sources of validation text"
            )
        return self

    @property
    def validation_sets(self) -> list[str]:
        """The names of the validation sets, in the order of their first sources; "" for sources without a name."""
        return list(dict.fromkeys(source.name for source in self.sources("validation")))

    def sources(self, split: Literal["train", "validation"]) -> list[Source]:
        """Return the sources of a split, after `validation_share` has divided those of `train`."""
        if not self.validation_share:
            return self.train if split == "train" else self.validation
        divided = []
        for source in self.train:
            low, high = source.hash_range
            bound = high - self.validation_share * (high - low)
            own_range = [low, bound] if split == "train" else [bound, high]
            divided.append(source.model_copy(update={"hash_range": own_range}))
        return divided


class TokenizerTable(TomlTable):
    """Where the tokenizer comes from: exactly one of the keys `train`, `adapt` and `load` is set."""

    train: int = Field(
        0, ge=0, description="Vocabulary size of a tokenizer to train on the training text, at least 512."
    )
    kind: Literal["unigram", "bpe"] = Field(
        "unigram", description="What `train` makes: Unigram with byte fallback, or byte-level BPE."
    )
    words: Literal["auto", "respect", "ignore"] = Field(
        "auto",
        description='How `train` treats spaces: "respect" keeps pieces within the words that spaces separate, "ignore" '
        'lets them span spaces, which is right for languages without spaces. "auto" decides by the text.',
    )
    adapt: str = Field(
        "",
        description="Tokenizer of a decoder to adapt to an encoder: a SentencePiece .model file, a Hugging Face folder "
        "or the id of a repository on the Hub. Special tokens that an encoder needs are added if it lacks them.",
    )
    load: str = Field(
        "",
        description="Tokenizer of an encoder to take as it is: a folder or the id of a repository on the Hub, of any "
        "kind that transformers opens and that puts one token before and one behind a text.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        keys = ("train", "adapt", "load")
        ways = [key for key in keys if getattr(self, key)]
        if len(ways) != 1:
            problem = f"{', '.join(ways)}: more than one tokenizer" if ways else "no tokenizer"
            raise ValueError(f"{problem}; expected one of {', '.join(keys)}")
        for key in ("kind", "words"):  # A resolved recipe spells out the default of each key.
            if not self.train and (value := getattr(self, key)) != TokenizerTable.model_fields[key].default:
                raise ValueError(f"{key} = {value!r}: an option of train, given with {ways[0]}; expected train")
        if self.train and self.train < MIN_VOCABULARY:
            raise ValueError(
                f"train = {self.train}: too small, for 256 entries are the bytes; expected {MIN_VOCABULARY} or more"
            )
        return self


class Model(TomlTable):
    """The shape of the ModernBERT network."""

    layers: int = Field(22, ge=1, le=1000, description="Number of layers.")
    hidden: int = Field(defaults.HIDDEN, ge=2, le=65_536, description="Width of the hidden states.")
    heads: int = Field(
        12, ge=1, le=65_536, description="Attention heads of a layer. `hidden` / `heads` is a whole, even number."
    )
    intermediate: int = Field(1152, ge=1, le=1 << 20, description="Width of the feed-forward layers.")
    positions: int = Field(
        8192, ge=8, le=MOST_LENGTH, description="Longest input in tokens, an upper bound on the `length` of stages."
    )
    global_every: int = Field(
        3,
        ge=1,
        le=1000,
        description="Every n-th layer, beginning with the first, attends to the whole text; the others locally.",
    )
    window: int = Field(
        128,
        ge=2,
        le=2 * MOST_LENGTH,
        description="Width of local attention in tokens, half of it on each side. An even number.",
    )
    init: str = Field(
        "",
        description="ModernBERT checkpoint to continue from, a folder or an id on the Hub. The other keys of this "
        "table are then those of the checkpoint, and may be left out; so may `[tokenizer]`. A stage longer than the "
        "checkpoint's input extends it. Empty: random weights.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, table: Any) -> Any:
        return defaults.fill_model(table) if isinstance(table, dict) else table

    @property
    def matrix_weights(self) -> int:
        """Number of weights in the matrices of the layers."""
        return self.layers * (4 * self.hidden**2 + 3 * self.hidden * self.intermediate)

    @model_validator(mode="after")
    def _size_is_possible(self) -> Self:
        if self.matrix_weights > MOST_WEIGHTS:
            raise ValueError(
                f"layers = {self.layers}, hidden = {self.hidden}, intermediate = {self.intermediate}:"
                f" {self.matrix_weights:.2g} weights, {16 * self.matrix_weights / 1e9:,.0f} GB in training (weights,"
                f" gradients, two moments); expected at most {MOST_WEIGHTS:.2g} weights"
            )
        return self

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        # The checkpoint of `init` brings what the recipe does not give.
        complete = not self.init or {"hidden", "heads"} <= self.model_fields_set
        if complete and (self.hidden % self.heads or (self.hidden // self.heads) % 2):
            raise ValueError(
                f"heads = {self.heads} with hidden = {self.hidden}: the heads do not fit; expected hidden / heads to be"
                " a whole, even number"
            )
        if self.window % 2:
            raise ValueError(f"window = {self.window}: the window has two equal sides; expected an even number")
        return self


class Recipe(TomlTable):
    """A whole run, from text to the checkpoint of its last stage."""

    name: str = Field(min_length=1, description="Name of the run in reports and trackers.")
    seed: int = Field(
        42,
        ge=0,
        le=MOST_SEED,
        description="Seed of the initial weights, of the order of the documents and of the masks.",
    )
    compile: bool = Field(
        True,
        description="Compile the network with torch.compile where it runs on a GPU in bfloat16. The results differ by "
        "rounding only.",
        json_schema_extra=FREE,
    )
    precision: Precision = Field(
        "auto",
        description='Number format of matrix products. "auto" is bfloat16 on a GPU and on a CPU with AVX-512 BF16 or '
        "AMX, and float32 on other CPUs; the manifest of the run says which, and a resumed run keeps it. "
        '"float32" is for comparisons and is never compiled. Weights, gradients of weights and the residual stream are '
        "always float32.",
    )
    trackers: list[Literal["tensorboard", "wandb", "trackio"]] = Field(
        [],
        description="Services that receive the metrics too, through accelerate. Each needs its package installed.",
        json_schema_extra=FREE,
    )
    corpus: Corpus = Field(description="Text to learn from and to measure on.")
    tokenizer: TokenizerTable = Field(description="Where the tokenizer comes from.")
    model: Model = Field(Model(), description="Shape of the network.")
    stage: list[Stage] = Field(min_length=1, description="Stages of training, in order.")

    @model_validator(mode="before")
    @classmethod
    def _tokenizer_of_init(cls, table: Any) -> Any:
        """Take the tokenizer of `model.init` where the recipe names none."""
        model = table.get("model") if isinstance(table, dict) else None
        if isinstance(model, dict) and model.get("init") and "tokenizer" not in table:
            return table | {"tokenizer": {"load": model["init"]}}
        return table

    def published(self) -> Self:
        """Return the recipe as files of a run show it; an address may hold a password or a signature.

        A resumed run is given its recipe again, so nothing needs the secret from the run's files.
        """
        sources = {name: [s.published() for s in getattr(self.corpus, name)] for name in ("train", "validation")}
        return self.model_copy(update={"corpus": self.corpus.model_copy(update=sources)})

    @field_validator("name")
    @classmethod
    def _name_is_a_line(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError(f"{name!r}: not printable; expected a line of text")
        if (size := len(name.encode(errors="surrogatepass"))) > MOST_NAME_BYTES:
            raise ValueError(f"{size} bytes in UTF-8: too long; expected at most {MOST_NAME_BYTES}")
        return name

    @field_validator("stage")
    @classmethod
    def _keep_theta(cls, stages: list[Stage], info: ValidationInfo) -> list[Stage]:
        """Set `rope_theta = 0` in stages that do not set it, where `model.init` brings its own theta."""
        if not ("model" in info.data and info.data["model"].init):
            return stages
        return [s if "rope_theta" in s.model_fields_set else s.model_copy(update={"rope_theta": 0.0}) for s in stages]

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        names = [stage.name for stage in self.stage]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(
                f"stage.name = {', '.join(sorted(repeated))!r}: given twice; expected a name of its own for each stage"
            )
        for before, stage in zip((None, *self.stage), self.stage, strict=False):
            if stage.keep_moments and (before is None or before.optimizer != stage.optimizer):
                raise ValueError(
                    f"stage {stage.name!r}: keep_moments = true: no stage before it has the moments of"
                    f" {stage.optimizer!r}; expected false, or a stage before it with the same optimizer"
                )
        for stage in self.stage:
            extends = self.model.init and "positions" not in self.model.model_fields_set
            if stage.length > self.model.positions and not extends:
                raise ValueError(
                    f"stage {stage.name!r}: length = {stage.length}: longer than the network's input; expected at most"
                    f" model.positions = {self.model.positions}"
                )
            if not stage.rope_theta and not self.model.init:
                raise ValueError(
                    f"stage {stage.name!r}: rope_theta = 0: keeps that of model.init, which is not set; expected a"
                    " number above 0"
                )
        return self


def table_of(field: FieldInfo) -> type[BaseModel] | None:
    """The table that a field of a recipe holds, or holds a list of; None for a value."""
    types = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in types if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _tables_below(name: str, table: type[BaseModel]) -> dict[str, type[BaseModel]]:
    tables = {name: table}
    for key, field in table.model_fields.items():
        if child := table_of(field):
            tables |= _tables_below(f"{name}.{key}".lstrip("."), child)
    return tables


# Every table by its name in a recipe ("", "corpus", "corpus.train", …), in the order of the fields.
TABLES = _tables_below("", Recipe)
