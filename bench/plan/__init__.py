"""What is to be measured, in which order: cells, suites, protocol, design."""
