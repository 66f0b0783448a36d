"""The app of the web tests, which the fuzz tests fill and ask."""

from tests.webapp.conftest import app, client, compiled, make_app

__all__ = ["app", "client", "compiled", "make_app"]
