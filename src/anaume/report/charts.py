"""Panels → what the page's charts.js draws with plotly."""

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from anaume.report.curves import Column
from anaume.report.panels import Axis, Border, Panel, borders, training_panels
from anaume.report.sources import Source


@dataclass(frozen=True)
class Chart:
    """A panel on the page. Charts with the same `zoom` zoom together along x."""

    id: str
    panel: Panel
    zoom: str
    borders: tuple[Border, ...] = ()


def training_charts(source: Source, suffix: str = "") -> tuple[Chart, ...]:
    """The charts of one run, on one axis."""
    return tuple(
        Chart(f"{panel.id}{suffix}", panel, f"steps{suffix}", borders(source)) for panel in training_panels(source)
    )


def chart_data(charts: Sequence[Chart]) -> str:
    """The charts as JSON that can stand in a script element: no text in it can end the element."""
    values = [_chart(chart) for chart in charts]
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _chart(chart: Chart) -> dict[str, Any]:
    panel = chart.panel
    return {
        "id": chart.id,
        "zoom": chart.zoom,
        "hover": panel.hover,
        "x": _axis(panel.x),
        "y": _axis(panel.y),
        "levels": panel.levels,
        "borders": [(border.stage, border.start, border.end) for border in chart.borders],
        "lines": [
            {
                "name": line.name,
                "role": line.role,
                "style": line.style,
                "marker": line.marker,
                "labels": line.labels,
                "x": _values(line.x),
                "y": _values(line.y),
            }
            for line in panel.lines
        ],
    }


def _axis(axis: Axis) -> dict[str, Any]:
    return {
        "title": axis.title,
        "log": axis.log,
        "zero": axis.from_zero,
        "form": axis.form,
        "tick": axis.tick,
        "ticks": axis.ticks,
        "span": axis.span,
    }


def _values(column: Column) -> list[float | int | None]:
    """Numbers as precise as a picture needs them, whole ones in full; null for a gap."""
    return [_value(value) if np.isfinite(value) else None for value in column.tolist()]


def _value(value: float) -> float | int:
    return int(value) if value.is_integer() else float(f"{value:.5g}")


@cache
def plotly() -> str:
    """plotly.js, gzipped, as base64.

    The page holds 2 MB rather than 4.8, and none of the addresses of map servers that are in plotly's text.
    """
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
