"""Security headers of every response: content policy, caching, HSTS."""

from __future__ import annotations

from flask import Response, request

from tasks.settings import Settings
from webapp.markup import logos

YEAR_S = 31_536_000
FILES = ("static", "vendor_htmx")
SECRET_PATHS = ("/analyses", "/jobs", "/activity")
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


class SecurityHeaders:
    """Adds the headers that every answer has."""

    def __init__(self, settings: Settings, asset_version: str):
        self.policy = content_policy(settings)
        self.asset_version = asset_version

    def __call__(self, response: Response) -> Response:
        headers = response.headers
        headers["Content-Security-Policy"] = self.policy
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Permissions-Policy"] = PERMISSIONS
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        if request.is_secure:
            headers["Strict-Transport-Security"] = f"max-age={YEAR_S}"
        if response.mimetype == "text/html":
            response.vary.update(("HX-Request", "HX-Target"))
        self._set_cache(response)
        return response

    def _set_cache(self, response: Response) -> None:
        if request.endpoint in FILES:
            if response.status_code == 200 and request.args.get("v") == self.asset_version:
                response.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable"
        elif request.path.startswith(SECRET_PATHS):
            response.headers["Cache-Control"] = "no-store"
        elif "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "private, no-cache"


def content_policy(settings: Settings) -> str:
    """Return the Content-Security-Policy: everything from here, token logos from the hosts that the settings name."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            " ".join(["img-src 'self' data:", *logos.origins(settings)]),
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
