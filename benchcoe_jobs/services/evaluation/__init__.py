"""Evaluations of routers against their baselines."""
