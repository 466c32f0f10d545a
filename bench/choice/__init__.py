"""The choice of what to deploy: choose, compare, reproduce."""
