"""Readers of files: archives, tables, JSON, and the checked values of rows."""
