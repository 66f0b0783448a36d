"""The pipeline queue: wallets in, result out."""
