"""What is held out, and what a cell's file is named by."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.evals.jglue.cells import Cell, encoded, hold_out, path_of, studies
from anaume.evals.jglue.tasks import TASKS, read
from anaume.finetune.examples import Example
from anaume.finetune.train import Settings

SELECTION, WHOLE = Cell(Settings(1e-3, 1, 0), split_seed=0), Cell(Settings(1e-3, 1, 0))


def test_what_is_held_out(jglue_folder: Path) -> None:
    examples = read(TASKS["jcola"], jglue_folder).splits["train"]
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
    with pytest.raises(UserError, match=r"jsquad: 40 examples .groups without a common text: 1. are too few to hold"):
        hold_out(TASKS["jsquad"], examples[:40], 0)


def chains(links: list[tuple[str, str]]) -> Iterator[set[str]]:
    """The sentences that hang together, by merging sets until nothing changes."""
    sets = [set(link) for link in links]
    while sets:
        first = sets.pop()
        while found := [each for each in sets if each & first]:
            first = first.union(*found)
            sets = [each for each in sets if not each & first]
        yield first


def test_pairs_that_share_a_sentence_stay_together() -> None:
    """Both directions of a pair, and a chain whose ends share none: a-b, b-c, c-d."""
    links = [(f"{i}", f"{i} again") for i in range(60)]
    links += [(b, a) for a, b in links[:30]] + [("a", "b"), ("c", "d"), ("c", "b"), ("0", "59 again")]
    groups = list(chains(links))
    examples = [Example(link, float(i)) for i, link in enumerate(links)]
    for seed in range(20):
        parts = hold_out(TASKS["jsts"], examples, seed)
        held, rest = ({text for each in parts[part] for text in each.texts} for part in ("held_out", "train"))
        assert all(group <= held or group <= rest for group in groups)
        assert not held & rest
        assert 10 <= len(parts["held_out"]) <= 13
        assert sorted(each.label for part in parts.values() for each in part) == list(range(len(links)))
    other = examples + [Example(("a", f"{i}")) for i in range(60)]
    with pytest.raises(UserError, match=r"jsts: 154 examples .groups without a common text: 1. are too few"):
        hold_out(TASKS["jsts"], other, 0)


def test_choices_bind_nothing() -> None:
    """All questions here have the same five; one is asked twice, with other choices."""
    places = ("東京", "京都", "大阪", "奈良", "札幌")
    examples = [Example((f"問い{i}", *places), float(i)) for i in range(40)]
    examples.append(Example(("問い0", *places[::-1]), 40.0))
    for seed in range(40):
        held = {each.label for each in hold_out(TASKS["jcommonsenseqa"], examples, seed)["held_out"]}
        assert 5 <= len(held) <= 6
        assert (0.0 in held) is (40.0 in held)


@pytest.mark.parametrize("name", ["jnli", "jsts"])
def test_no_sentence_is_held_out_and_trained_on(name: str, shared_data: Path) -> None:
    """In the real files, with most of JNLI's pairs in both directions and many of JSTS's sentences in several."""
    examples = read(TASKS[name], shared_data / "jglue").splits["train"]
    for seed in range(3):
        parts = hold_out(TASKS[name], examples, seed)
        known = {text for each in parts["train"] for text in each.texts}
        assert not any(text in known for each in parts["held_out"] for text in each.texts)
        assert 0.1 <= len(parts["held_out"]) / len(examples) < 0.101


def test_a_selection_is_named_by_the_training_split_alone(modernbert_folder: Path, jglue_folder: Path) -> None:
    """So a test split that is added later leaves it alone."""
    model, task, test = [str(modernbert_folder)], [TASKS["jsts"]], jglue_folder / "jsts-v1.3" / "test-v1.3.json"
    (before,) = studies(model, jglue_folder, task)
    test.unlink()
    (without,) = studies(model, jglue_folder, task)
    places = {cell: [path_of(study, cell, Path()) for study in (before, without)] for cell in (SELECTION, WHOLE)}
    assert len(set(places[SELECTION])) == 1
    assert len(set(places[WHOLE])) == 2
    train = test.with_name("train-v1.3.json")
    train.write_text(train.read_text(encoding="utf-8") + train.read_text(encoding="utf-8"), encoding="utf-8")
    (other,) = studies(model, jglue_folder, task)
    assert path_of(other, SELECTION, Path()) != places[SELECTION][0]


def test_data_are_read_as_they_were(modernbert_folder: Path, jglue_folder: Path) -> None:
    folder = jglue_folder / "jsts-v1.3"
    (folder / "test-v1.3.json").unlink()
    (study,) = studies([str(modernbert_folder)], jglue_folder, [TASKS["jsts"]])
    shutil.copy(folder / "valid-v1.3.json", folder / "test-v1.3.json")
    assert len(encoded(study, 0)[0]["held_out"].examples) == 8
    with pytest.raises(UserError, match=r"jglue: jsts-v1.3/test-v1.3.json changed since this began") as error:
        encoded(study, None)
    assert "\n" not in str(error.value)
    (folder / "train-v1.3.json").write_bytes((folder / "valid-v1.3.json").read_bytes())
    with pytest.raises(UserError, match=r"jsts-v1.3/train-v1.3.json changed since this began"):
        encoded(study, 1)
