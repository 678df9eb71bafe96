"""How a question is routed: features of a text, and heads that turn them into one number per output."""
