"""Engines: one for each way to run a model. Each expert runs in its own engine server process."""
