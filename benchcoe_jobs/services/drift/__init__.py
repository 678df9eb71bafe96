"""Whether an expert is still the one that was profiled."""
