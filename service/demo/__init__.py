"""The demonstration and what it indexes."""
