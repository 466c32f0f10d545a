"""Results as data: records, metrics, journal, schema."""
