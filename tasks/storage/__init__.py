"""The database: tables, migrations, and queries by subject.

Money is stored as integers in base units: lamports and USD quotes in 64-bit columns, token amounts, which may exceed 64
bits, as text. Times are seconds since 1970 UTC.
"""
