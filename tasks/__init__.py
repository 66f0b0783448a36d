"""Everything that happens without a browser: fetching, computing, recording. Knows nothing of pages."""
