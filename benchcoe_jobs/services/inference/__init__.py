"""Run experts on the queries of benchmarks, in shards."""
