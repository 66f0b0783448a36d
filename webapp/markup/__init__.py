"""What templates need beside their data: filters, words, labels, icons."""
