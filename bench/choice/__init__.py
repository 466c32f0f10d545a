"""What to deploy: choose, compare, reproduce."""
