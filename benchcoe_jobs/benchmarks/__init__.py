"""What to ask and how to score it: one module per benchmark, behind the Protocol in base."""
