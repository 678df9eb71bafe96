"""Asking experts the queries of benchmarks, in shards."""
