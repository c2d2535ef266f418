"""Cutting a text for SentencePiece."""

from anaume.tokenizer import unigram


def test_cuts_join_to_the_text_and_split_no_inner_pair() -> None:
    text = "あいう" * 300
    assert unigram.cut(text, frozenset({"あい", "いう", "うあ"})) == [text]
    cuts = unigram.cut(text, frozenset({"あい", "うあ"}))
    assert "".join(cuts) == text
    assert all(cut.endswith("い") for cut in cuts[:-1])
    assert {len(cut) for cut in cuts[:-1]} == {194, 192}
    assert unigram.cut("", frozenset()) == [""]
