"""Routing: from a trained router and the labels of one moment to an expert for each question."""
