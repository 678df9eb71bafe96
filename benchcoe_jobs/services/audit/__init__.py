"""Checks of stored results, and repairs of what they find."""
