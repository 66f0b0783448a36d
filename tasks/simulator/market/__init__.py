"""The made-up market as DexScreener and Jupiter."""
