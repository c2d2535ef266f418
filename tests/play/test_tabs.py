"""Each tab as a plain function of texts, without a browser."""

import json
from pathlib import Path

import numpy as np
import pytest

from anaume.errors import UserError
from anaume.evals.fill_mask import predict
from anaume.finetune.examples import Entity
from anaume.play import blanks, curves, cuts, draw, limits, similarity
from anaume.play.models import Served
from anaume.run import Run

HOSTILE = "<script>x</script><img onerror=x>\u202eab\0${1}{{2}}"


def test_blanks_are_filled_as_in_the_evaluation(served: Served) -> None:
    text = "東京は[MASK]である。"
    filled = blanks.fill(served.fillers, text, 3)
    assert list(filled) == ["tiny-modernbert", "tiny-bert"]
    assert filled == {encoder.name: predict(encoder, text, 3) for encoder in served.fillers}


@pytest.mark.parametrize("text", ["", "東京", "[MASK]" * 9, "[MASK]" + "あ" * 20_000, "[MASK]\ud83d"])
def test_a_text_that_cannot_be_filled_is_one_line_without_a_path(served: Served, text: str) -> None:
    with pytest.raises(UserError) as error:
        blanks.fill(served.fillers, text)
    assert "/" not in str(error.value)
    assert "\n" not in str(error.value)


def test_models_are_known_by_name_only(served: Served, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = str(tmp_path_factory.getbasetemp())
    assert all(folder not in tokenizer.name_or_path for tokenizer in served.tokenizers.values())


def test_the_tokens_of_a_text_join_to_the_text(served: Served) -> None:
    text = "東京は古都である。"
    for cut in cuts.cut(served.tokenizers, text).values():
        assert "".join(token.text for token in cut.tokens) == text
        assert cut.per_character == len(cut.tokens) / len(text)


def test_equal_lines_have_cosine_one(served: Served) -> None:
    result = similarity.compare(served.embedders, "東京\n\n京都は古都である。\n東京\n")
    assert result.lines == ["東京", "京都は古都である。", "東京"]
    for cosines in result.cosines.values():
        assert np.allclose(np.diag(cosines), 1)
        assert cosines[0, 2] == pytest.approx(1)
        assert cosines[0, 1] < 0.999


def test_search_finds_the_passage_of_the_same_text(served: Served) -> None:
    rankings = similarity.search(served.embedders, "京都は古都", "東京は首都\n京都は古都\n大阪は港町")
    assert list(rankings) == ["tiny-modernbert", "tiny-bert", "BM25"]
    assert {hits[0].passage for hits in rankings.values()} == {"京都は古都"}


def test_passages_are_lines_or_parts_between_blank_lines() -> None:
    assert limits.passages_of("a\nb\n") == ["a", "b"]
    assert limits.passages_of("a\nb\n \nc") == ["a\nb", "c"]
    with pytest.raises(UserError, match="501 passages"):
        limits.passages_of("a\n" * 501)


def test_curves_lay_stages_end_to_end_and_skip_a_line_that_is_being_written(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    assert curves.progress(run) is None
    rows = [("train", "a", 5, 3.0), ("validation", "a", 5, 3.5), ("train", "b", 2, 1.0)]
    lines = [json.dumps({"kind": k, "stage": s, "step": n, "loss": x}) for k, s, n, x in rows]
    lines.append(json.dumps({"kind": "validation", "set": "law", "stage": "b", "step": 2, "loss": 2.0}))
    run.metrics_file.write_text("\n".join(lines) + '\n{"kind": "tr')
    expected = curves.Progress(
        "run", "b", 2, 1.0, {"training": [(5.0, 3.0), (7.0, 1.0)], "validation": [(5.0, 3.5)], "law": [(7.0, 2.0)]}
    )
    assert curves.progress(run) == expected
    run.metrics_file.write_text("broken\n" + lines[0])
    assert curves.progress(run) == curves.Progress("run", "a", 5, 3.0, {"training": [(5.0, 3.0)]})


def test_hostile_texts_and_labels_are_shown_as_text() -> None:
    pages = [
        draw.error(HOSTILE),
        draw.classes({HOSTILE: {HOSTILE: 0.5}}),
        draw.entities({HOSTILE: [Entity(0, 8, HOSTILE)]}, HOSTILE),
        draw.hits({HOSTILE: [similarity.Hit(HOSTILE, 1.0)]}),
        draw.heat_map(similarity.Similarities([HOSTILE], {HOSTILE: np.ones((1, 1))})),
        draw.cuts({HOSTILE: cuts.Cut((cuts.Token(HOSTILE, HOSTILE, 1, True),), 1.0)}),
    ]
    for page in pages:
        assert "&lt;script&gt;" in page
        for harmful in ("<script", "<img", "\u202e", "\0", "${", "{{"):
            assert harmful not in page
