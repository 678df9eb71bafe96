"""Training of routers on frozen labels."""
