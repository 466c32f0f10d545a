"""Studies that prove the protocol and the network: simulations, real runs, controls."""
