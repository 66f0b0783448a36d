"""Logos come from exactly the hosts that are named: what only looks like one of them is not loaded."""

from __future__ import annotations

import pytest

from tasks.settings import read_settings
from webapp.markup import logos

HOSTS = ("https://cdn.dexscreener.com", "https://dd.dexscreener.com")


def test_the_origins_are_the_hosts_of_the_settings_and_in_the_demo_the_simulator() -> None:
    assert logos.origins(read_settings({})) == HOSTS
    named = read_settings({"WALLETKIN_LOGO_HOSTS": "a.example, B.example"})
    assert logos.origins(named) == ("https://a.example", "https://b.example")
    demo = read_settings({"WALLETKIN_SIMULATOR_SEED": "7", "WALLETKIN_SIMULATOR_BIND": "127.0.0.1:9000"})
    assert logos.origins(demo) == (*HOSTS, "http://127.0.0.1:9000")


@pytest.mark.parametrize(
    "url", ["https://cdn.dexscreener.com/a.png", "https://CDN.dexscreener.com/x?y=1", "https://dd.dexscreener.com"]
)
def test_a_logo_of_a_named_host_is_loaded(url: str) -> None:
    assert logos.allowed(url, HOSTS) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "http://cdn.dexscreener.com/a.png",
        "//cdn.dexscreener.com/a.png",
        "/a.png",
        "javascript:alert(1)",
        "data:image/svg+xml,<svg/>",
        "https://evil.example/cdn.dexscreener.com",
        "https://cdn.dexscreener.com.evil.example/a.png",
        "https://xcdn.dexscreener.com/a.png",
        "https://cdn.dexscreener.com:8443/a.png",
        "https://someone@cdn.dexscreener.com/a.png",
        "https://evil.example\\@cdn.dexscreener.com/a.png",
        "https://cdn.dexscreener.com\\.evil.example/a.png",
        "https://[cdn.dexscreener.com/a.png",
        "https://cdn.dexscreener.com/" + "a" * 2_000,
    ],
)
def test_anything_else_is_not(url: str | None) -> None:
    assert logos.allowed(url, HOSTS) is None
