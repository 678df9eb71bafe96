"""Subjects for questions that have none: clusters of their texts."""
