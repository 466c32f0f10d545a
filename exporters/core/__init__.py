"""Foundations of every exporter: errors, atomic files, provenance, artifacts, the store, plug-ins, precision policies."""
