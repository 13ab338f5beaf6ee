"""Figures: what they show, drawn as SVG or PNG from one description."""
