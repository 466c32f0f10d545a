"""The static network: upstream's function for one fixed shape, module by module."""
