"""Around and before Flask: load shedding, the micro-cache, the request log."""
