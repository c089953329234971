"""One script a schema, never changed once others have run it."""
