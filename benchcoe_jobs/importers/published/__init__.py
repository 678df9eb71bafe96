"""Importers of the outputs that benchmarks publish, and of batch outputs."""
