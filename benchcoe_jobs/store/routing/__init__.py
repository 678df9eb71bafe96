"""Routers, routing snapshots, evaluations with their decisions, and the cost of answers."""
