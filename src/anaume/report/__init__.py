"""Run directories and evaluation records → the page, its tables and its print figures, without torch."""
