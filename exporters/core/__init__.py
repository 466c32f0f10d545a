"""What every exporter stands on: errors, atomic files, provenance, artifacts, the store, plug-ins, precision policies."""
