"""The job engine; knows no kind of work."""
