"""The report of a store: figures, drawings, and the page with both. `worth` estimates the first figure before it."""
