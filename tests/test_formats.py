import pytest

from anaume.formats import duration, join_words, number, percent, short


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0.000"), (0.57449, "0.574"), (12345, "12,345"), (12345.6, "12,346"), (5e-4, "5e-4"),
     (-1.25e-5, "-1.25e-5"), (float("nan"), "nan"), (9.125, "9.125"), (1, "1")],
)  # fmt: skip
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (187_494_646, "187.5M"),
        (999, "999"),
        (26_624, "26.6k"),
        (500_000, "500k"),
        (1.7e12, "1.7T"),
        (2e9, "2B"),
    ],
)
def test_short(count: float, text: str) -> None:
    assert short(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(12, "12 s"), (60, "1 min 0 s"), (520, "8 min 40 s"), (3661, "1 h 1 min"), (129600, "1 d 12 h")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "deviation", "text"),
    [(0.9204, 0.0031, "92.0 ± 0.3"), (0.5, None, "50.0"), (-0.05, 0.0, "-5.0 ± 0.0"), (None, 0.1, "–")],
)
def test_percent(share: float | None, deviation: float | None, text: str) -> None:
    assert percent(share, deviation) == text


@pytest.mark.parametrize(("names", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_join_words(names: list[str], text: str) -> None:
    assert join_words(names) == text
