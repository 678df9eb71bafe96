"""Training routers on stored scores."""
