"""Labels: their scope, how they are built, and how certain they are."""
