"""Cascades: ask one expert, look at its answer, and decide whether another one is worth its price."""
