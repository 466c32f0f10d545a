"""The processes that export, load and run: one cell each."""
