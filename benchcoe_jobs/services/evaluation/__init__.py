"""Evaluations of routers: decisions on a split, and reports that compare them with baselines."""
