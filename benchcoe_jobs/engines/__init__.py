"""How an expert answers: one engine per way to run a model, each in a host process of its own."""
