"""Evaluation: judged queries, the metrics, and the runs they measure."""
