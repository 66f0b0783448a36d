"""The market's HTTP routes (DexScreener, Jupiter, token images); knows no socket and makes up no price."""

from __future__ import annotations

from html import escape
from urllib.parse import parse_qs, unquote, urlsplit

from tasks.simulator.market.quotes import Quoter
from tasks.simulator.responses import Response, error_response, json_response
from tasks.simulator.state import SimulatorState
from tasks.simulator.world.tokens import Token
from tasks.simulator.world.world import World

PAIRS_BY_TOKEN = "/tokens/v1/solana/"
LATEST_PAIRS = "/latest/dex/tokens/"
TOKEN_SEARCH = "/tokens/v2/search"
PRICES = "/price/v3"
LOGOS = "/logos/"
_MOST_PAIRED, _MOST_SEARCHED, _MOST_PRICED = 30, 100, 50


def service_of(path: str) -> str:
    """Return the service of a request path: dexscreener, jupiter, logos, or rpc for everything else."""
    if path.startswith((PAIRS_BY_TOKEN, LATEST_PAIRS)):
        return "dexscreener"
    if path.startswith((TOKEN_SEARCH, PRICES)):
        return "jupiter"
    return "logos" if path.startswith(LOGOS) else "rpc"


class Market:
    """Both market services and the images."""

    def __init__(self, world: World, state: SimulatorState):
        self.world, self.state = world, state

    def respond(self, target: str, host: str) -> Response:
        """Return the response to `GET target`; images are at `host` unless the scenario names their place."""
        parts = urlsplit(target)
        quoter = Quoter(
            self.world.scenario, self.world.catalogue, self.world.scenario.logo_base or f"http://{host}{LOGOS}"
        )
        if parts.path.startswith(PAIRS_BY_TOKEN):
            return self._pairs(quoter, parts.path.removeprefix(PAIRS_BY_TOKEN), latest=False)
        if parts.path.startswith(LATEST_PAIRS):
            return self._pairs(quoter, parts.path.removeprefix(LATEST_PAIRS), latest=True)
        if parts.path == TOKEN_SEARCH:
            return self._search(quoter, _mints_of(parts.query, "query"))
        if parts.path == PRICES:
            return self._prices(quoter, _mints_of(parts.query, "ids"))
        return self._logo(parts.path.removeprefix(LOGOS).removesuffix(".svg"))

    def _known(self, mints: list[str]) -> list[Token]:
        known = self.world.catalogue.by_mint
        return [known[mint] for mint in dict.fromkeys(mints) if mint in known]

    def _refused(self, service: str, mints: list[str], most: int) -> Response | None:
        """Count the mints of a request; return the error response to one with too many mints."""
        if len(mints) > most:
            return error_response(400, f"At most {most} mints.")
        self.state.count_mints(service, mints)
        return None

    def _pairs(self, quoter: Quoter, text: str, *, latest: bool) -> Response:
        mints = [mint for mint in unquote(text).split(",") if mint]
        refused = self._refused("dexscreener", mints, _MOST_PAIRED)
        if refused:
            return refused
        pairs = [pair for token in self._known(mints) for pair in quoter.pairs(token, other_chains=latest)]
        return json_response({"schemaVersion": "1.0.0", "pairs": pairs or None} if latest else pairs)

    def _search(self, quoter: Quoter, mints: list[str]) -> Response:
        refused = self._refused("jupiter", mints, _MOST_SEARCHED)
        if refused:
            return refused
        return json_response([entry for token in self._known(mints) if (entry := quoter.listing(token))])

    def _prices(self, quoter: Quoter, mints: list[str]) -> Response:
        refused = self._refused("jupiter", mints, _MOST_PRICED)
        if refused or not mints:
            return refused or error_response(400, f"One to {_MOST_PRICED} mints.")
        return json_response({token.mint: entry for token in self._known(mints) if (entry := quoter.price(token))})

    def _logo(self, mint: str) -> Response:
        token = self.world.catalogue.by_mint.get(mint)
        if token is None:
            return error_response(404, "No such image.")
        picture = (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">'
            f'<circle cx="32" cy="32" r="32" fill="hsl({token.index * 47 % 360} 55% 42%)"/>'
            '<text x="32" y="42" font-size="28" font-family="sans-serif" fill="#fff" text-anchor="middle">'
            f"{escape(token.symbol[0])}</text></svg>"
        )
        return Response(picture.encode(), 200, "image/svg+xml", {"Cache-Control": "max-age=86400"})


def _mints_of(query: str, name: str) -> list[str]:
    return [mint for value in parse_qs(query).get(name, []) for mint in value.split(",") if mint]
