"""The SQL result store. Knows tables, views and transactions; never sees a model."""
