"""Experiments: routers trained and evaluated over pools, seeds and split assignments."""
