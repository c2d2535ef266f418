from anaume.report.draw.palette import COLOURS, MARKERS, light, of_series


def test_no_two_of_many_models_look_the_same() -> None:
    styles = [of_series(number) for number in range(36)]
    assert len(set(styles)) == 36
    assert {marker for _, marker in styles} == set(MARKERS)
    assert len({light(role) for role, _ in styles[:6]}) == 6
    assert {role for role, _ in styles} <= set(COLOURS)
