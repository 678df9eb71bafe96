"""Serving: an OpenAI-compatible service that decides for each request which expert it goes to, and passes it on."""
