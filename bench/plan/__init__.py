"""Plan of a measurement: cells, suites, protocol, design."""
