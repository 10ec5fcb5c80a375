"""Trains a model: ``python -m workers.training reranker|encoder``, or ``rankgres train``."""

from workers.training.command_line import main

main()
