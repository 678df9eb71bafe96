"""Who runs a shard: this process, or workers that a broker tells of it."""
