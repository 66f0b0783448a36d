"""What is kept: tables, migrations, and the queries by subject. Knows no outside service and no browser.

Money is kept as integers in base units: 64-bit columns for lamports and USD quotes, text for token amounts (which may
exceed 64 bits). Times are seconds since 1970 UTC.
"""
