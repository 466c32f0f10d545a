"""The machine a run was measured on: fingerprint, identity, telemetry."""
