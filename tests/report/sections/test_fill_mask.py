from pathlib import Path

from anaume.report.inputs import read_inputs
from anaume.report.sections import fill_mask
from anaume.report.tables import Table, markdown


def lines(table: Table | None) -> list[str]:
    assert table is not None
    return markdown(table).splitlines()


def test_five_guesses_of_the_end_are_shown(whole_run: Path) -> None:
    (table,) = fill_mask.predictions(read_inputs([whole_run])[0])
    top5 = lines(table)
    assert top5[0] == "Five first guesses of long, step 20, with probabilities; right ones in bold."
    assert top5[4].endswith("| 東京 | **東京** (0.500) | 大阪 (0.400) | 京都 (0.300) | の (0.200) | は (0.100) |")
    assert top5[5].endswith("| **&lt;b&gt;** (0.125) | – | – | – | – |")


def test_first_guesses_are_shown_in_the_course_of_training(whole_run: Path) -> None:
    first = lines(fill_mask.first_guesses(read_inputs([whole_run])))
    assert first[2] == "| Sentence | Answer | Step 0 | End of short | End of long |"
    assert first[4].endswith("| 東京 | は (0.100) | **東京** (0.500) | **東京** (0.500) |")
