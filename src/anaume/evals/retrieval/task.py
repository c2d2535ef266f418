"""`anaume eval retrieval`: options → a collection, the measurement of a model, and lexical baselines.

The rule: pairs have the baselines of the paper in both readings of their units, and BM25; a published collection has
BM25 alone, because edit distances over a corpus take days.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast, get_args

from anaume.corpus.rows import require_unicode
from anaume.encoder.embed import embed_counted
from anaume.encoder.load import open_tokenizer
from anaume.encoder.modules import is_late, open_late
from anaume.errors import UserError
from anaume.evals.inputs.pairs import read_pairs
from anaume.evals.lexical.units import Unit, require_unit
from anaume.evals.overlap.clean import clean_rows, clean_settings
from anaume.evals.record import Record
from anaume.evals.retrieval.collection import Collection, from_pairs
from anaume.evals.retrieval.evaluate import (
    PAPERS_LIKELY,
    TASK,
    Lexical,
    baseline_name,
    default_unit,
    evaluate,
    evaluate_lexical,
)
from anaume.evals.retrieval.late import evaluate_late
from anaume.evals.retrieval.published import read_collection
from anaume.evals.task import Baseline, Evaluation, Request, Subject, check_pooling, estimate
from anaume.evals.tasks import RetrievalOptions


def prepare(request: Request[RetrievalOptions]) -> Evaluation:
    """Read the collection; the lexical baselines are measured beside the models.

    Raises:
        UserError: see `read_pairs` and `read_collection`; an unknown unit or pooling; pairs and a collection at once.
    """
    options = request.options
    units = _units(options.unit)
    check_pooling(options.pooling)
    chosen: dict[str, Any] = {"pooling_choice": options.pooling}
    if options.layer is not None:
        chosen["layer"] = options.layer
    if options.centre:
        chosen["centre"] = True
    for name in ("query_prefix", "positive_prefix"):
        if prefix := getattr(options, name):  # without one, the record names the prompt of the model's folder
            chosen[name] = require_unicode(prefix, f"--{name.replace('_', '-')}")
    collection = _read(options)

    def measure(subject: Subject) -> Iterator[Record]:
        choices: dict[str, Any] = {"query_prefix": options.query_prefix, "positive_prefix": options.positive_prefix}
        choices["seed"] = options.seed
        if options.pooling == "own" and is_late(subject.path):
            if changed := {"layer", "centre"} & chosen.keys():
                raise UserError(f"--{min(changed)}: {subject.path} compares tokens, not pooled states; expected none")
            yield evaluate_late(open_late(subject.path), subject.encoder, collection, **choices)
        else:
            pooling = subject.pooling(options.pooling, options.layer)
            yield evaluate(subject.encoder, collection, pooling=pooling, centre=options.centre, **choices)

    def forecast(subjects: Sequence[Subject]) -> float:
        embed = partial(embed_counted, subjects[0].encoder)
        return len(subjects) * (estimate(embed, collection.queries) + estimate(embed, collection.documents))

    kinds: tuple[Lexical, ...] = get_args(Lexical) if options.pairs else ("bm25",)
    counted = [(kind, unit) for kind in kinds for unit in units or (default_unit(kind, collection),)]
    if options.pairs and not units:
        counted = list(dict.fromkeys([*counted, *PAPERS_LIKELY]))
    baselines = _baselines(request, collection, counted)
    return Evaluation(measure, {**collection.settings, **chosen}, baselines, forecast)


def _read(options: RetrievalOptions) -> Collection:
    if options.pairs and options.collection:
        raise UserError(f"--collection {options.collection}: given with --pairs; expected one of them")
    if options.collection and options.overlap:
        raise UserError(f"--overlap {options.overlap}: given with --collection; expected --pairs")
    if options.collection:
        return read_collection(options.collection, options.collection_split)
    assert options.pairs
    pairs = read_pairs(options.pairs, options.query_field, options.positive_field)
    collection = from_pairs(pairs, options.pairs)
    settings = {**collection.settings, **options.other_fields}
    if options.overlap is None:
        return replace(collection, settings=settings)
    clean = clean_rows(options.overlap, options.pairs)
    return replace(collection, settings=settings | clean_settings(options.overlap, clean), clean=clean)


def _units(names: str) -> tuple[Unit, ...]:
    units = tuple(name.strip() for name in names.split(",") if name.strip())
    for unit in units:
        require_unit(unit, f"--unit {unit}")
    return cast(tuple[Unit, ...], units)


def _baselines(
    request: Request[RetrievalOptions], collection: Collection, counted: Sequence[tuple[Lexical, Unit]]
) -> tuple[Baseline, ...]:
    """A baseline for each kind and its unit. If they count tokens, the tokenizer is the run's or the first model's."""
    seed = request.options.seed
    model = str(request.run.tokenizer) if request.run else request.models[0]
    tokenizer = open_tokenizer(model, masked_lm=False) if "tokens" in [unit for _, unit in counted] else None

    def baseline(kind: Lexical, unit: Unit) -> Baseline:
        def measure() -> Record:
            return evaluate_lexical(kind, collection, unit, tokenizer=tokenizer, seed=seed)

        of_tokenizer = {"tokenizer": str(tokenizer.name_or_path)} if unit == "tokens" and tokenizer else {}
        settings = {**collection.settings, "unit": unit} | of_tokenizer
        return Baseline(baseline_name(kind, unit), TASK, settings, measure)

    return tuple(baseline(kind, unit) for kind, unit in counted)
