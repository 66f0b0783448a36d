"""Figures, measured: `python -m tests.benchmarks`."""

import os
import tempfile

# The queues are opened when their module is imported: in a folder of this run, never in the checkout's own.
_folder = tempfile.TemporaryDirectory(prefix="walletkin-bench-", ignore_cleanup_errors=True)
os.environ["WALLETKIN_DATA_DIR"] = _folder.name
