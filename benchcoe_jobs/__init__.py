"""Bench-CoE (arXiv 2412.04167) as a batch job system over a persistent result store."""

__version__ = "0.2.0"
