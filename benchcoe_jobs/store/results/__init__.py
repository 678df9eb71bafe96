"""Benchmarks, experts, responses and scores, and the aggregates computed from them."""
