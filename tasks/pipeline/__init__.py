"""The pipeline: wallets in, result out. The jobs of the queue `pipeline`, and what users request of an analysis."""
