"""Fine-tuning of an encoder with a head: the router kind bert."""
