"""Addresses and signatures in valid base58, the same for the same seed; they have no keys."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha512

import base58

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# Digits drawn straight from a digest: far cheaper than encoding its number, and as valid.
_DIGITS = bytes(ord(ALPHABET[byte % 58]) for byte in range(256))
# A text of 44 digits is exactly 32 bytes when its first digit is worth 1 to 16; one of 88 is 64 bytes for 1 to 4.
_ADDRESS_LEADS = ALPHABET[1:17]
_SIGNATURE_LEADS = ALPHABET[1:5]
# A signature ends in nine digits that encode its place (unit, sequence), scrambled so that neighbours differ.
_PLACES = 58**9
_SEQUENCES = 58**5
_SCRAMBLE = 3_141_592_653_589_793
_UNSCRAMBLE = pow(_SCRAMBLE, -1, _PLACES)


def derive_address(*parts: object) -> str:
    """Return the 44-digit base58 address that belongs to the parts (seed, kind, number …)."""
    digest = sha512("/".join(map(str, parts)).encode()).digest()
    return _ADDRESS_LEADS[digest[63] % 16] + digest[:43].translate(_DIGITS).decode()


@lru_cache(maxsize=400_000)
def token_account(owner: str, mint: str) -> str:
    """Return the address of the owner's associated token account of a mint."""
    return derive_address("account", owner, mint)


def signature_of(seed: int, unit: int, sequence: int) -> str:
    """Return the 88-digit signature of a unit's transaction; `place_of` reads the place back."""
    digest = sha512(f"signature/{seed}/{unit}/{sequence}".encode()).digest()
    letters = digest.translate(_DIGITS).decode()
    return _SIGNATURE_LEADS[digest[0] % 4] + letters + letters[14:0:-1] + _place_digits(unit, sequence)


def _place_digits(unit: int, sequence: int) -> str:
    place = (unit * _SEQUENCES + sequence) * _SCRAMBLE % _PLACES
    digits = ""
    for _ in range(9):
        place, digit = divmod(place, 58)
        digits = ALPHABET[digit] + digits
    return digits


def place_of(seed: int, signature: str) -> tuple[int, int] | None:
    """Return (unit, sequence) of a signature made by `signature_of` with the same seed, otherwise None."""
    place = 0
    for letter in signature[-9:]:
        place = place * 58 + ALPHABET.find(letter)
    unit, sequence = divmod(place * _UNSCRAMBLE % _PLACES, _SEQUENCES)
    return (unit, sequence) if signature_of(seed, unit, sequence) == signature else None


def is_base58(text: object, length: int) -> bool:
    """Say whether the text is base58 for exactly `length` bytes (32: an address, 64: a signature)."""
    if not isinstance(text, str) or not 1 <= len(text) <= 90:
        return False
    try:
        return len(base58.b58decode(text)) == length
    except ValueError:
        return False
