"""Benchmarks and published results from files into the store."""
