"""Rows of the database to what templates and JSON show."""
