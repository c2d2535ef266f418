from collections.abc import Callable
from pathlib import Path

from anaume.report.inputs import read_inputs
from anaume.report.sections import geometry, pseudo_perplexity, validation

Write = Callable[..., None]


def test_a_model_has_one_colour_and_marker_on_all_charts(run: Path, by_length: Write, placed: Write) -> None:
    place = {"stage": "short", "step": 40, "tokens": 1}
    placed(run / "evals", "short-step-0000040", 0.5, -1, checkpoint=place)
    by_length(run / "evals", "short-step-0000040", 1, checkpoint=place)
    by_length(run / "evals", "other", 2)
    placed(run / "evals", "other", 0.75, -2)
    inputs = read_inputs([run])
    panels = [validation.length_panel(inputs), pseudo_perplexity.panel(inputs), geometry.plane(inputs)]
    styles = [
        {line.name: (line.role, line.marker) for line in panel.lines if line.style == "points"}
        for panel in panels
        if panel
    ]
    assert styles == [
        {"End of short": ("series1", "circle"), "End of long": ("series2", "square")},
        {"End of short": ("series1", "circle"), "other": ("series3", "diamond")},
        {"short": ("series1", "circle"), "other": ("series3", "diamond")},
    ]
