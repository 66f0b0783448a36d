"""Outgoing rate limits and circuit breakers."""
