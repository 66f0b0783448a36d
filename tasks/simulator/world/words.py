"""The words of made-up names, and the hostile names."""

_ADJECTIVES = """
    amber brisk calm dusty early faint glad hasty idle jolly keen lucid mellow noble olive plain quiet rapid stern
    tidy urban vivid warm young
"""
_NOUNS = """
    heron willow anchor basin cedar delta ember fjord grove harbor island juniper kettle lantern meadow needle
    orchard pebble quarry river summit thicket upland valley
"""
_EPITHETS = """
    Moon Turbo Lazy Cosmic Salty Golden Pixel Velvet Neon Grumpy Tiny Mighty Frozen Spicy Lucky Cyber Wobbly Royal
    Dizzy Electric
"""
_CREATURES = """
    Otter Goblin Penguin Noodle Wizard Pickle Badger Falcon Waffle Kraken Hamster Dragon Cactus Robot Panda Comet
    Toast Lobster Pigeon Yak
"""
# Labels of wallets, and names of tokens.
ADJECTIVES, NOUNS = _ADJECTIVES.split(), _NOUNS.split()
EPITHETS, CREATURES = _EPITHETS.split(), _CREATURES.split()

# Names that try to break a page, a CSV or a database, or to deceive; (name, symbol) by popularity rank. Two tokens
# named USDC are not USDC: one is spelt with a Cyrillic letter, one exactly.
HOSTILE_NAMES = {
    7: ("USDC", "USDC"),
    9: ("<img src=x onerror=alert(1)>", "<b>XSS</b>"),
    13: ('" autofocus onfocus="alert(1)" x=\'>', "'\"><svg onload=alert(1)>"),
    17: ("\u202eniop eht esreveR\u202c", "\u202eTLR"),
    20: ("\U0001f680\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f315", "\U0001f680"),
    24: ("Very long " * 40, "LONG" * 16),
    28: ("\u0301\u0323\u0489" * 12, "\u0336\u0301"),
    31: ("USD Coin", "USD\u0421"),
    34: ("Endless " + "a" * 9_992, "ENDLESS" * 100),
    38: ('=HYPERLINK("http://example.invalid","claim")', "=1+1"),
    45: ("Robert'); DROP TABLE token;--", "BOBBY"),
    49: ("Nul\u0000", "NUL\u0000"),
    52: ("Zero\u200bWidth\u0000Null\ufeff", "Z\u200bW"),
}
