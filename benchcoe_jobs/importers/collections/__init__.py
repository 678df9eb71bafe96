"""Importers of collections of results, and of tables of trackers."""
