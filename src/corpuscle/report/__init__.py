"""One self-contained page about a corpus and what was measured on it: pictures, plots, tables."""
