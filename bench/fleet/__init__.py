"""A fleet: one frozen suite measured on many machines, carried by Dask or by a CI; one merged answer (bench/FLEET.md)."""
