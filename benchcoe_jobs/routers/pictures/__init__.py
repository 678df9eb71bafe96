"""Features of the pictures of questions: encoders, and vectors that a router uses."""
