"""Pasted lists and files to accepted, duplicate and rejected rows."""
