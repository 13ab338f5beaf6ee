"""Metrics for generated text, by name.

A task file names a metric, or a metric with its options::

    metrics:
      - exact_match
      - format_following: {pattern: "[A-D]"}
"""

from __future__ import annotations

from evalcore.metrics.registry import METRICS, METRICS_VERSION, TextMetric, text_metric

__all__ = ["METRICS", "METRICS_VERSION", "TextMetric", "text_metric"]
