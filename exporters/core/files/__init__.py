"""Files: written whole, locked, sealed, private; paths and arrays as users give them."""
