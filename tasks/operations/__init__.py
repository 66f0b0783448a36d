"""Keeps the service running: heartbeats, health, metrics, backup."""
