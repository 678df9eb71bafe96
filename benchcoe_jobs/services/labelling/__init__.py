"""Labels: what they are about, how they are built and how certain they are."""
