"""Blind pairwise human votes."""
