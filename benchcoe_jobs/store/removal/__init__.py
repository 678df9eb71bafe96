"""Removal of what is stored: imports, experts, benchmarks, routers, label sets."""
