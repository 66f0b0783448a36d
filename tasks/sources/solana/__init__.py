"""Client of a Solana RPC service: `client.py` → `batching.py` (batches, rate, retries) → `rpc.py` and `parse.py`."""
