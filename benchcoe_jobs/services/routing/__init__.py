"""Routing questions: from a trained router and live labels to one expert per question."""
