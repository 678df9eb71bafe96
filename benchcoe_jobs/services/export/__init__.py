"""Exports: scores, labels and decisions in the formats that other programs read, one module for each format."""
