"""The made-up chain as a Solana RPC service."""
