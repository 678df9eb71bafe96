"""Dispatchers: run shards in this process, or leave them to workers that a broker notifies."""
