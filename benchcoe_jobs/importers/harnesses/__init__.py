"""Importers of the logs that evaluation harnesses write."""
