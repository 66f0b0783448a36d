"""Downloads: CSV, GraphML, Prometheus text."""
