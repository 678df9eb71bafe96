"""Removal of what is stored, for good."""
