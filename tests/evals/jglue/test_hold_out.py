"""What is held out: sentences and articles on one side only."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.evals.jglue.hold_out import hold_out
from anaume.evals.jglue.read import read_task
from anaume.evals.jglue.tasks import TASKS
from anaume.finetune.examples import Example


def test_what_is_held_out(jglue_folder: Path) -> None:
    examples = read_task(TASKS["jcola"], jglue_folder).splits["train"]
    parts = hold_out(TASKS["jcola"], examples, 0)
    assert len(set(parts["train"]) | set(parts["held_out"])) == len(parts["train"] + parts["held_out"]) == 80
    assert len(parts["held_out"]) == 8
    assert hold_out(TASKS["jcola"], examples, 0) == parts
    assert set(hold_out(TASKS["jcola"], examples, 1)["held_out"]) != set(parts["held_out"])


def test_questions_on_one_article_stay_together() -> None:
    sizes = [40, 1, 3, 7, 2, 9, 8, 30]
    examples = [Example((f"{i}",), group=str(a)) for a, size in enumerate(sizes) for i in range(size)]
    for seed in range(8):
        parts = hold_out(TASKS["jsquad"], examples, seed)
        groups = {part: {example.group for example in parts[part]} for part in parts}
        assert not groups["train"] & groups["held_out"]
        assert len(parts["held_out"]) >= 10
    with pytest.raises(
        UserError, match=r"jsquad: 40 examples: too few to hold out a tenth .groups without a common text: 1."
    ):
        hold_out(TASKS["jsquad"], examples[:40], 0)


def connected(links: list[tuple[str, str]]) -> Iterator[set[str]]:
    """The sentences that hang together, by merging sets until nothing changes."""
    sets = [set(link) for link in links]
    while sets:
        group = sets.pop()
        while touching := [other for other in sets if other & group]:
            group = group.union(*touching)
            sets = [other for other in sets if not other & group]
        yield group


def test_pairs_that_share_a_sentence_stay_together() -> None:
    """Both directions of a pair, and a chain whose ends share none: a-b, b-c, c-d."""
    links = [(f"{i}", f"{i} again") for i in range(60)]
    links += [(b, a) for a, b in links[:30]] + [("a", "b"), ("c", "d"), ("c", "b"), ("0", "59 again")]
    groups = list(connected(links))
    examples = [Example(link, float(i)) for i, link in enumerate(links)]
    for seed in range(20):
        parts = hold_out(TASKS["jsts"], examples, seed)
        held, rest = ({text for example in parts[part] for text in example.texts} for part in ("held_out", "train"))
        assert all(group <= held or group <= rest for group in groups)
        assert not held & rest
        assert 10 <= len(parts["held_out"]) <= 13
        assert sorted(example.label for part in parts.values() for example in part) == list(range(len(links)))
    other = examples + [Example(("a", f"{i}")) for i in range(60)]
    with pytest.raises(
        UserError, match=r"jsts: 154 examples: too few to hold out a tenth .groups without a common text: 1."
    ):
        hold_out(TASKS["jsts"], other, 0)


def test_choices_bind_nothing() -> None:
    """All questions here have the same five; one is asked twice, with other choices."""
    places = ("東京", "京都", "大阪", "奈良", "札幌")
    examples = [Example((f"問い{i}", *places), float(i)) for i in range(40)]
    examples.append(Example(("問い0", *places[::-1]), 40.0))
    for seed in range(40):
        held = {example.label for example in hold_out(TASKS["jcommonsenseqa"], examples, seed)["held_out"]}
        assert 5 <= len(held) <= 6
        assert (0.0 in held) is (40.0 in held)


@pytest.mark.parametrize("name", ["jnli", "jsts"])
def test_no_sentence_is_held_out_and_trained_on(name: str, shared_data: Path) -> None:
    """In the real files, with most of JNLI's pairs in both directions and many of JSTS's sentences in several."""
    examples = read_task(TASKS[name], shared_data / "jglue").splits["train"]
    for seed in range(3):
        parts = hold_out(TASKS[name], examples, seed)
        known = {text for example in parts["train"] for text in example.texts}
        assert not any(text in known for example in parts["held_out"] for text in example.texts)
        assert 0.1 <= len(parts["held_out"]) / len(examples) < 0.101
