"""Routers, decisions, evaluations and the cost of answers."""
