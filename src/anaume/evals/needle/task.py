"""Needle in a haystack: does a model find a fact at a depth of a long Japanese document?

Texts → a score for each length in tokens (powers of two up to the model's positions) and each depth, by two tests.

- Retrieval. `documents` documents of one length each hold five facts, one of each kind and at each depth; the next
  document has each kind at another depth. A query names a fact without its value (青森県の案内人). The score is the
  fraction of queries whose nearest document by cosine is the one with the fact, among all with a fact of that kind;
  chance is 1 / `documents`. It is the passkey retrieval of LongEmbed (Zhu et al. 2024, arXiv 2404.12096), with natural
  text around the facts as in Kamradt's needle in a haystack (2023). Control `bag_of_words`: BM25 over the model's own
  tokens, for which no position exists.
- Cloze. A document holds five facts of one kind, one at each depth, and ends in five questions in random order, which
  repeat each fact with its value masked. The other facts are distractors, as in the multi-key task of RULER (Hsieh et
  al. 2024, arXiv 2404.06654): the masked head must copy the value that belongs to the key. The score is the fraction of
  questions whose first guess is right at every mask. Control `without_needle`: the shortest documents without the
  facts, the rate of guessing. A model without a masked-LM head is measured by retrieval only.

The filler is whole sentences of the given texts that name no key; facts are made up (`facts.py`). Lengths count special
tokens, and a document is as long as whole sentences allow. Five facts share a document, so one pass asks all depths.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from anaume.encoder.load import Encoder, load_encoder
from anaume.encoder.pooling import Pooling
from anaume.errors import UserError
from anaume.evals.needle.cells import metrics_of
from anaume.evals.needle.cloze import measure_cloze
from anaume.evals.needle.facts import most_facts
from anaume.evals.needle.haystack import draw_fillers
from anaume.evals.needle.retrieval import measure_retrieval
from anaume.evals.provenance import texts_of, texts_settings
from anaume.evals.record import Record
from anaume.evals.task import Evaluation, Request, Subject, check_pooling
from anaume.evals.tasks import NeedleOptions
from anaume.progress import say

SHORTEST = 512


def lengths_of(positions: int) -> list[int]:
    """Return 512, 1,024, … up to `positions`."""
    return [1 << power for power in range(SHORTEST.bit_length() - 1, positions.bit_length()) if 1 << power <= positions]


def evaluate(
    encoder: Encoder,
    fillers: Sequence[Sequence[str]],
    *,
    texts: str,
    pooling: Pooling,
    longest: int,
    seed: int = 0,
    without_cloze: str = "",
) -> Record:
    """Measure retrieval and, unless `without_cloze` says why not, the cloze over all lengths and depths.

    `fillers` are the sentences of each document; `texts` names their corpus. Rows of `details` are the cells.

    Raises:
        UserError: the model has fewer than 512 positions, or the sentences are too few for its longest documents.
    """
    positions = min(encoder.max_length, pooling.max_length or encoder.max_length, longest)
    lengths = lengths_of(positions)
    if not lengths:
        raise UserError(f"{encoder.name}: reads {positions} tokens; expected {SHORTEST} or more for needle")
    cells = measure_retrieval(encoder, fillers, lengths, pooling, texts, seed)
    if not without_cloze:
        cells += measure_cloze(encoder, fillers, lengths, texts, seed)
    settings = {
        "texts": texts,
        "documents": len(fillers),
        "lengths": lengths,
        "pooling": pooling.description,
        "query_prefix": pooling.query,
        "positive_prefix": pooling.document,
        "retrieval_chance": 1 / len(fillers),
        "max_length": encoder.max_length,
    }
    if without_cloze:
        settings["notes"] = [f"no cloze: {without_cloze}"]
    n = sum(cell.n for cell in cells if cell.test in ("retrieval", "cloze"))
    return Record(encoder.name, "needle", metrics_of(cells), n, settings, seed, details=[asdict(c) for c in cells])


def prepare(request: Request[NeedleOptions]) -> Evaluation:
    """Draw the filler, which is the same for all models.

    Raises:
        UserError: the texts can't be read; too many documents; an unknown pooling.
    """
    options = request.options
    check_pooling(options.pooling)
    if options.documents > most_facts():
        raise UserError(f"--documents {options.documents}: too many; expected {most_facts()} or fewer")
    settings = texts_settings(options.texts)
    fillers = draw_fillers(texts_of(options.texts), options.documents, options.longest, options.seed)

    def measure(subject: Subject) -> Iterator[Record]:
        if request.run and (positions := request.run.recipe().model.positions) < SHORTEST:
            say(f"anaume: needle: left out: the model reads {positions} tokens; expected {SHORTEST} or more")
            return
        encoder, without_cloze = _opened(subject)
        yield evaluate(
            encoder,
            fillers,
            texts=settings["texts"],
            pooling=subject.pooling(options.pooling),
            longest=options.longest,
            seed=options.seed,
            without_cloze=without_cloze,
        )

    amounts = {"documents": options.documents, "longest": options.longest, "pooling_choice": options.pooling}
    return Evaluation(measure, settings | amounts)


def _opened(subject: Subject) -> tuple[Encoder, str]:
    """Open the model with its masked-LM head, or without it and with the reason why it has none."""
    if subject.masked_lm:
        return subject.encoder, ""
    try:
        return load_encoder(subject.path, masked_lm=True), ""
    except UserError as error:
        encoder = subject.encoder  # if the fault is another one, this raises it
        say(f"anaume: needle: cloze left out: {error}")
        return encoder, str(error)
