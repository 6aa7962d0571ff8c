"""Figures of the book, one module for each kind. Colours and sizes come from `gclib.figures.style`."""
