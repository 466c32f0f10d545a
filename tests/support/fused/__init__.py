"""What tests of the fused network share."""
