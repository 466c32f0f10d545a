"""Exporters: the exportable network, precision policies, one exporter a format, the artifact store."""
