"""Alembic scripts and the versioned SQL of the views."""
