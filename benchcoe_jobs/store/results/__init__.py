"""Benchmarks, experts, responses and scores, and the aggregates that are kept with them."""
