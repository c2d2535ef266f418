"""Sources → a sample of their texts, as evenly from their parts as the sizes allow, and whether it has spaces."""

from collections.abc import Iterator, Sequence

from anaume.corpus.readers import Part, Reading, no_document_error, parts, read
from anaume.corpus.source import Source
from anaume.progress import say
from anaume.tokenizer.runs import Words, separates_words, spaced_share

_SAMPLE = 200_000  # characters from which the use of spaces is decided
_SAMPLED_PARTS = 16  # of each source


def shares_of(sources: Sequence[Source], characters: int) -> list[tuple[Source, int]]:
    """Return each source with its share of `characters`, in proportion to its weight."""
    total = sum(source.weight for source in sources)
    return [(source, int(characters * source.weight / total)) for source in sources]


def sample_texts(shares: Sequence[tuple[Source, int]]) -> Iterator[str]:
    """Yield documents until each source has given its characters, as evenly from its parts as their sizes allow.

    Raises:
        UserError: a source can't be read or holds no document.
    """
    for source, characters in shares:
        all_parts = parts(source)
        is_empty = True
        for index, part in enumerate(all_parts):
            for text in part_texts(part, characters // (len(all_parts) - index)):
                is_empty = False
                characters -= len(text)
                yield text
        if is_empty:
            raise no_document_error(source)


def part_texts(part: Part, characters: int) -> Iterator[str]:
    """Yield the texts of a part until they have `characters` characters; the last one is whole."""
    for document in read(part, Reading()):
        yield document.text
        characters -= len(document.text)
        if characters <= 0:
            return


def respect_words(sources: Sequence[Source], words: Words) -> bool:
    """Return whether pieces stay within words; "auto" decides by the text and says so on standard error."""
    return _decide(sources) if words == "auto" else words == "respect"


def _decide(sources: Sequence[Source]) -> bool:
    """Return whether the text of the sources has spaces between words, and say so on standard error."""
    sample = []
    for source in sources:
        all_parts = parts(source)
        sampled = all_parts[:: len(all_parts) // _SAMPLED_PARTS + 1]
        budget = _SAMPLE // len(sources) // max(1, len(sampled))
        sample += [text[:budget] for part in sampled for text in part_texts(part, budget)]
    share = spaced_share("\n".join(sample))
    respect = separates_words(share)
    habit, other = ("no piece spans", "ignore") if respect else ("pieces may span", "respect")
    say(
        f"anaume: spaces between letters are {share:.1%} of the letters, so {habit} a space between words"
        f' (words = "{other}" changes it)'
    )
    return respect
