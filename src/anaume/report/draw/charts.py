"""Panels → the JSON that the page's charts.js draws with plotly, and plotly itself."""

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from anaume.report.curves import Values
from anaume.report.draw.palette import dashes
from anaume.report.draw.panels import Axis, Border, Panel


@dataclass(frozen=True)
class Chart:
    """A panel on the page, with the borders of stages. Charts with the same `zoom` zoom together along x."""

    id: str
    panel: Panel
    zoom: str
    borders: tuple[Border, ...] = ()


def chart_data(charts: Sequence[Chart]) -> str:
    """The charts as JSON that is safe inside a script element: no text of it can end the element."""
    text = json.dumps([_chart(chart) for chart in charts], ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _chart(chart: Chart) -> dict[str, Any]:
    panel = chart.panel
    return {
        "id": chart.id,
        "zoom": chart.zoom,
        "hover": panel.hover,
        "x": _axis(panel.x),
        "y": _axis(panel.y),
        "levels": [
            (value, ",".join(f"{length}px" for length in dashes(number)))
            for number, (_, value) in enumerate(panel.levels)
        ],
        "cells": None if panel.cells is None else [_values(row) for row in panel.cells],
        "range": panel.cell_range,
        "digits": panel.cell_digits,
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


def _values(values: Values) -> list[float | int | None]:
    """The values with five digits, whole numbers in full, and null for a gap."""
    return [_value(value) if np.isfinite(value) else None for value in values.tolist()]


def _value(value: float) -> float | int:
    return int(value) if value.is_integer() else float(f"{value:.5g}")


@cache
def plotly() -> str:
    """plotly.js as base64 of its gzip.

    Compression keeps the page at 2 MB instead of 4.8, and the addresses of map servers in plotly out of its text.
    """
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
