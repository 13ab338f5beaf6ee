"""Judges: models and rules that say which answer is better, or how good one is."""
