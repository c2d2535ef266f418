"""Panels, which say what is drawn, and the two that draw them: plotly on the page, matplotlib for print."""
