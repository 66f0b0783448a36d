"""Judges one word that stands where a wallet's address should: the address in it, or what is wrong with it.

It reads addresses and explorer links; it does not know lines, labels, duplicates or the token registry.
"""

from __future__ import annotations

import bisect
import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

import base58

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
SHORTEST, LONGEST = 32, 44
CANDIDATE_FROM = 26
"""From this length on a word is taken for an attempt at an address rather than for a label."""

INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]+"
)
"""Characters that show nothing: joiners, direction marks, byte order marks, tags."""

_WRAPPING = "\"'`<>()[]{}.,:;|*“”‘’«»"
_LINK_AT_MOST = 2048
_TYPO_AT_MOST = 128
_WORDS_KEPT = 256
_BYTES_BEGIN = [
    (len(first), first) for first in (base58.b58encode_int(256**count).decode() for count in range(_TYPO_AT_MOST))
]
"""By length and digits the smallest number of one byte (1, written "2"), of two, of three, and so on."""
_BASE58 = re.compile(f"[{ALPHABET}]+")
_LINK = re.compile(r"(?:https?://)?[\w-]+(?:\.[\w-]+)+(?::\d+)?/", re.IGNORECASE)
_LINK_PARTS = re.compile(r"[/?#&=]+")
_DIGIT, _LETTER = re.compile("[0-9]"), re.compile("[A-Za-z]")
_SHORTENED = re.compile(r"\w{2,}(?:…|\.{2,3})\w{2,}")
_HEX = re.compile(r"0[xX][0-9a-fA-F]+")
_BECH32 = re.compile(r"bc1[02-9ac-hj-np-z]{11,71}|BC1[02-9AC-HJ-NP-Z]{11,71}")
_OTHER_CHAINS = {0x00: "Bitcoin", 0x05: "Bitcoin", 0x1E: "Dogecoin", 0x30: "Litecoin", 0x41: "Tron"}
_LINK_KINDS = {
    **dict.fromkeys(("token", "coin", "mint", "swap"), "token"),
    **dict.fromkeys(("tx", "txn", "transaction", "signature"), "transaction"),
    **dict.fromkeys(("block", "slot"), "block"),
    **dict.fromkeys(("pool", "pools", "pair", "market", "amm", "dexscreener.com", "www.dexscreener.com"), "market"),
}


class ParsedAddress(NamedTuple):
    """What one word turned out to be: an address, or the reason why it is none (exactly one of the two)."""

    address: str | None
    reason: str | None
    secret: bool = False
    """Whether the word has the shape of a private key as well, so that it must not be shown in full."""


def trimmed(word: str) -> str:
    """Return the word without invisible characters and the quotes, brackets and stops around it."""
    return (word if word.isascii() else INVISIBLE.sub("", word)).strip(_WRAPPING + " ")


def is_address(word: str) -> bool:
    """Say whether the word is base58 for exactly 32 bytes."""
    return SHORTEST <= len(word) <= LONGEST and _decoded_length(word) == 32


def looks_like_address(word: str) -> bool:
    """Say whether the word was meant as an address (or a link to one), right or wrong; a label was not."""
    if len(word) < CANDIDATE_FROM:
        return False
    return _is_meant(trimmed(word[:_LINK_AT_MOST]))


@lru_cache(_WORDS_KEPT)  # each word of a line is looked at several times
def _is_meant(word: str) -> bool:
    if "/" in word:
        return bool(_LINK.match(word)) and any(map(looks_like_address, _parts(word)))
    if len(word) < CANDIDATE_FROM or not word.isalnum():
        return False
    if not word.isascii():
        word = word[:_TYPO_AT_MOST]
        word, length = "".join(c for c in unicodedata.normalize("NFKC", word) if c.isascii()), len(word)
        if len(word) * 2 < length:
            return False
    return bool(_DIGIT.search(word) and _LETTER.search(word)) or is_address(word)


def read_address(word: str) -> ParsedAddress:
    """Read one word, bare or as an explorer link.

    An empty word gives a reason, as does everything that is not an address; nothing is raised.
    """
    word = trimmed(word) if len(word) <= _LINK_AT_MOST else word
    if not word:
        return ParsedAddress(None, "No address on this line.")
    if "/" in word and _LINK.match(word[:_LINK_AT_MOST]):
        return _read_link(word)
    return _read_bare(word)


def _read_bare(word: str) -> ParsedAddress:
    if is_address(word):
        return ParsedAddress(word, None)
    if len(word) > _TYPO_AT_MOST:
        return ParsedAddress(None, _wrong_length(word))
    reason = _foreign(word) or _wrong_letters(word)
    if reason:
        return ParsedAddress(None, reason)
    decoded = _decoded_length(word)
    if decoded == 64:
        return ParsedAddress(None, "This is a transaction signature, not a wallet.", secret=True)
    if not SHORTEST <= len(word) <= LONGEST:
        return ParsedAddress(None, _wrong_length(word))
    return ParsedAddress(None, f"Decodes to {decoded} bytes; an address has 32.")


def _read_link(word: str) -> ParsedAddress:
    """Find the address in a link; the words before it (`/token/`, `/tx/`) tell what the link leads to."""
    parts = _parts(word)
    for part in parts:
        kind = _LINK_KINDS.get(part.lower())
        if kind:
            return ParsedAddress(None, f"This link leads to a {kind}, not a wallet.")
        if is_address(part):
            return ParsedAddress(part, None)
    longest = max(parts, key=len, default="")
    if looks_like_address(longest):
        return _read_bare(longest)
    return ParsedAddress(None, "No address in this link; paste the wallet’s address itself.")


def _parts(link: str) -> list[str]:
    """Cut a link into host, path segments, and the names and values of its query and fragment."""
    return [part for part in _LINK_PARTS.split(link[:_LINK_AT_MOST]) if part]


def _foreign(word: str) -> str | None:
    """Name the mistake when the word is a shortened address or one of another chain."""
    if ("…" in word or ".." in word) and _SHORTENED.fullmatch(word):
        return "This address is shortened; paste all of it."
    if _HEX.fullmatch(word):
        what = "an Ethereum address" if len(word) == 42 else "hexadecimal, as other chains write it"
        return f"This is {what}; Walletkin reads Solana wallets."
    chain = "Bitcoin" if _BECH32.fullmatch(word) else _chain_by_checksum(word)
    return f"This is a {chain} address; Walletkin reads Solana wallets." if chain else None


def _chain_by_checksum(word: str) -> str | None:
    if not (word[0] in "13DLMT" and CANDIDATE_FROM <= len(word) <= 35 and _BASE58.fullmatch(word)):
        return None
    try:
        payload = base58.b58decode_check(word)
    except ValueError:
        return None
    return _OTHER_CHAINS.get(payload[0]) if len(payload) == 21 else None


def _wrong_letters(word: str) -> str | None:
    """Name the characters that base58 lacks; a word too short to be a mistyped address is only too short."""
    if _BASE58.fullmatch(word):
        return None
    wrong = list(dict.fromkeys(character for character in word if character not in ALPHABET))
    if len(word) < CANDIDATE_FROM and word.isascii():
        return _wrong_length(word)
    names = [_named(character) for character in wrong[:3]] + (["others"] if len(wrong) > 3 else [])
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"Has {listed}, which no address has; copy it again."


def _named(character: str) -> str:
    """Show a plain character as it is, and spell out what only looks like one."""
    if character.isascii() and character.isprintable():
        return "a space" if character == " " else character
    name = unicodedata.name(character, "")
    first, *rest = name.split() or [f"U+{ord(character):04X}"]
    rest = [word if len(word) == 1 else word.capitalize() if word == "LATIN" else word.lower() for word in rest]
    spelled = " ".join([first.capitalize() if name else first, *rest])
    return f"{character} ({spelled})" if character.isalnum() else spelled


def _wrong_length(word: str) -> str:
    plural = "" if len(word) == 1 else "s"
    return f"{len(word):,} character{plural}; an address has {SHORTEST} to {LONGEST}."


def _decoded_length(word: str) -> int | None:
    """Return how many bytes the word stands for, None when it is not base58 or long; each leading 1 is a zero byte.

    The digits of base58 are in the order of ASCII, so that numbers compare as text, in a tenth of the time.
    """
    if len(word) > _TYPO_AT_MOST or not _BASE58.fullmatch(word):
        return None
    digits = word.lstrip("1")
    return len(word) - len(digits) + (bisect.bisect_right(_BYTES_BEGIN, (len(digits), digits)) if digits else 0)
