"""Panels say what is drawn. plotly draws them on the page, and matplotlib draws them for print."""
