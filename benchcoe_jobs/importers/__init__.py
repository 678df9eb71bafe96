"""Importers: readers of result files, one module per format."""
