"""What the seed found wrong in the pages before these, where no other test says that it is not so here."""

from __future__ import annotations

import pathlib
import re

import pytest
from flask.testing import FlaskClient

from tests.support.servers import ROOT
from tests.support.site import buys, finish, mint, sync

EMOJI = re.compile("[\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]")
SEEN = [*(ROOT / "templates").rglob("*.html"), *(ROOT / "static").glob("*.*"), *(ROOT / "webapp").rglob("*.py")]


@pytest.mark.parametrize("path", SEEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_there_are_icons_and_no_emojis(path: pathlib.Path) -> None:
    assert EMOJI.findall(path.read_text()) == []


def test_many_shared_tokens_cover_a_hundred_per_cent_and_no_more(client: FlaskClient) -> None:
    amounts = [0.1 + i / 7 for i in range(40)]
    a, b = sorted([sync("whole", buys(*amounts)), sync("part", [*buys(*amounts), ("buy", mint(90), 50.0, 9_000)])])
    key = finish(client, [a, b])
    pair = client.get(f"/analyses/{key}/pairs/{a}/{b}.json").json
    assert max(pair["coverage_a"], pair["coverage_b"]) == pytest.approx(1.0)
    assert 0.5 < min(pair["coverage_a"], pair["coverage_b"]) < 1.0
    page = client.get(f"/analyses/{key}/pairs/{a}/{b}").text
    shares = re.findall(r"(\d+(?:\.\d+)?)(?:&nbsp;|\u00a0)%", page)
    assert shares
    assert max(map(float, shares)) == 100


def test_a_wallet_given_twice_is_one_wallet_everywhere(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, [*five_wallets, five_wallets[0], five_wallets[0]])
    shape = client.get(f"/analyses/{key}.json").json
    assert len(shape["wallets"]) == shape["summary"]["wallets"] == 5
    assert client.get(f"/analyses/{key}/pairs.json").json["total"] == 10
    assert client.get(f"/analyses/{key}/wallets").text.count('<tr><th scope="row">') == 5
