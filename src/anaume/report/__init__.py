"""Records and metrics → the page, the figures and the tables. Never imports torch."""
