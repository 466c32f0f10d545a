"""What proves the protocol and the network: simulations, real runs, controls."""
