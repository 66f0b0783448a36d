"""Cleans token names and finds those that impersonate a well-known token.

The creator of a token chooses its name, so every name is hostile until cleaned. Templates escape it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from types import MappingProxyType

from confusable_homoglyphs.confusables import confusables_data  # type: ignore[import-untyped]

from tasks.measures import well_known

LONGEST_NAME = 80
LONGEST_SYMBOL = 24
MOST_MARKS = 4  # on one letter: enough for every script, too few to paint over other rows
CUT = "…"
_READ_AHEAD = 16  # times the wanted length is read, because removed characters may precede the name
_SHORT = 2  # letters; words up to this length match symbols only
_FOLDED_LENGTH = 100

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_UNWANTED = frozenset({"Cc", "Cf", "Cs"})
_MARKS = frozenset({"Mn", "Mc", "Me"})

WELL_KNOWN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        well_known.WSOL: ("SOL", "wSOL", "Solana", "Wrapped SOL", "Wrapped Solana"),
        well_known.USDC: ("USDC", "USD Coin"),
        well_known.USDT: ("USDT", "Tether", "Tether USD"),
        well_known.PYUSD: ("PYUSD", "PayPal USD"),
        well_known.USDS: ("USDS",),
        well_known.MSOL: ("mSOL", "Marinade staked SOL"),
        well_known.JITOSOL: ("JitoSOL", "Jito Staked SOL"),
        well_known.BSOL: ("bSOL", "BlazeStake Staked SOL"),
        "JUPyiwrYJFskUPiHa7hkeR8VUtAeFoSYbKedZNsDvCN": ("JUP", "Jupiter"),
        "27G8MtK7VtTcCHkpASjSDdkWWYfoqT6ggEuKidVJidD4": ("JLP", "Jupiter Perps", "Jupiter Perps LP"),
        "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263": ("BONK",),
        "EKpQGSJtjMFqKZ9KQanSqYXRcF8fBopzLHYxdM65zcjm": ("WIF", "dogwifhat"),
        "7GCihgDB8fe6KNjn2MYtkzZcRjQy3t9GHdC8uHYmW2hr": ("POPCAT",),
        "4k3Dyjzvzp8eMZWUXbBCjEvwSkkk59S5iCNLY3QrkX6R": ("RAY", "Raydium"),
        "orcaEKTdK7LKz57vaAYr9QeNsVEPfiu6QeMU1kektZE": ("ORCA",),
        "HZ1JovNiVvGrGNiiYvEozEVgZ58xaU3RKwX8eACQBCt3": ("PYTH", "Pyth Network"),
        "jtojtomepa8beP8AuQc6eXt5FriJwfFMwQx2v2f9mCL": ("JTO", "Jito"),
        "85VBFQZC9TZkfaptBWjvUw7YbZjy52A6mjtPGjstQAmQ": ("W", "Wormhole"),
        "6p6xgHyF7AeE6TZkSmFsko444wqoP15icUSqi2jfGiPN": ("TRUMP", "Official Trump"),
        "2zMMhcVQEXDtdE6vsFS7S7D5oUodfJHE8vd1gnBouauv": ("PENGU", "Pudgy Penguins"),
        "3NZ9JMVBmGAqocybic2c7LQCJScmgsAZ6vQqTDzcqmJh": ("WBTC", "BTC", "Bitcoin", "Wrapped BTC", "Wrapped Bitcoin"),
        "7vfCXTUXx5WJV5JADk17DUJ4ksgau7utNKj4b963voxs": ("ETH", "WETH", "Ethereum", "Ether", "Wrapped Ether"),
    }
)
"""Mint → its symbol and its other names."""

# Digits that stand for letters, and the strokes that look alike in most typefaces: small l, capital i, one, bar.
_ALIKE = str.maketrans({"l": "1", "I": "1", "|": "1", "!": "1", "0": "o", "3": "e", "4": "a", "5": "s", "8": "b"})


def clean_name(text: object, most: int) -> str | None:
    """Return `text` without invisible and text-moving characters, in NFC, with white space collapsed.

    A text longer than `most` characters is cut between two letters and ends in "…". None if `text` is not a string or
    nothing is left.
    """
    if not isinstance(text, str):
        return None
    visible = "".join(_visible(text[: most * _READ_AHEAD]))
    normal = "".join(_with_few_marks(unicodedata.normalize("NFC", visible)))
    return _cut(" ".join(normal.split()), most) or None


def impersonated_token(symbol: str | None, name: str | None, mint: str) -> str | None:
    """Return the symbol of the well-known token that this token resembles in symbol or name; None for most tokens.

    Case, spaces, punctuation, invisible characters and look-alike letters make no difference. A well-known token
    impersonates none.
    """
    if mint in WELL_KNOWN:
        return None
    return _known_by(_beginning(symbol), of_symbol=True) or _known_by(_beginning(name), of_symbol=False)


def _beginning(text: str | None) -> str:
    return (text or "")[:_FOLDED_LENGTH]


def _visible(text: str) -> Iterator[str]:
    for character in text:
        if character.isspace():
            yield " "
        elif character not in _INVISIBLE and unicodedata.category(character) not in _UNWANTED:
            yield character


def _with_few_marks(text: str) -> Iterator[str]:
    """Drop marks without a letter before them, and more than `MOST_MARKS` on one letter."""
    marks = MOST_MARKS
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in _MARKS else MOST_MARKS if character == " " else 0
        if marks <= MOST_MARKS:
            yield character


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    end = most - len(CUT)
    while end > 0 and _continues(text, end):
        end -= 1
    return text[: end or most - len(CUT)].rstrip() + CUT


def _continues(text: str, index: int) -> bool:
    """Whether the character at `index` belongs to the one before: a mark, a skin tone, half of a flag."""
    if unicodedata.category(text[index]) in _MARKS or "\U0001f3fb" <= text[index] <= "\U0001f3ff":
        return True
    first = index
    while first > 0 and _is_flag_half(text[first - 1]):
        first -= 1
    return _is_flag_half(text[index]) and (index - first) % 2 == 1


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


@lru_cache(maxsize=8192)
def _known_by(text: str, *, of_symbol: bool) -> str | None:
    plain = _plain(text)
    for folded in (_folded(plain), _folded(plain.upper())):
        if folded in _known_words() and (of_symbol or len(folded) > _SHORT):
            return _known_words()[folded]
    return None


@cache
def _known_words() -> Mapping[str, str]:
    """Return folded word → symbol. Small l and capital i look alike but l and i do not, so every spelling counts."""
    return {
        _folded(_plain(written)): words[0]
        for words in WELL_KNOWN.values()
        for word in words
        for written in (word, word.upper(), word.lower())
    }


def _plain(text: str) -> str:
    """Return `text` as plain letters and digits that look the same: no marks, look-alikes or spaces."""
    letters = (_latin(character) for character in unicodedata.normalize("NFKD", text))
    return "".join(letter for letter in letters if letter.isalnum() or letter in "|!")


def _folded(plain: str) -> str:
    return plain.replace("rn", "m").replace("vv", "w").replace("VV", "W").translate(_ALIKE).casefold()


@lru_cache(maxsize=4096)
def _latin(character: str) -> str:
    """Return the ASCII letter or digit that a character or its capital looks like; the character if there is none."""
    if character.isascii() or unicodedata.category(character) in _MARKS:
        return character
    for written in (character, character.upper()):
        for alike in confusables_data.get(written, ()):
            if len(alike["c"]) == 1 and alike["c"].isascii() and alike["c"].isalnum():
                return str(alike["c"])
    return character
