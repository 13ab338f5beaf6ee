"""Standings, and everything that talks to MLflow."""
