"""Ingestion up to the outbox, and the writing of chunks."""
