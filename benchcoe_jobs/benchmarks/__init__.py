"""Benchmarks: loading, prompts and scoring, one module each. The interface is the Protocol in `base`."""
