"""How long a PostgreSQL that does not answer is waited for."""

from __future__ import annotations

from tasks.storage import database


def test_what_the_address_says_goes_before_what_the_program_thinks() -> None:
    given = database.connection_timeouts("postgresql://me@host/name?connect_timeout=30&sslmode=require")
    assert "connect_timeout" not in given
    assert set(given) == set(database.TIMEOUTS) - {"connect_timeout"}


def test_without_more_a_silent_server_is_given_up_within_seconds() -> None:
    given = database.connection_timeouts("postgresql://me@host/name")
    silent_s = given["keepalives_idle"] + given["keepalives_interval"] * given["keepalives_count"]
    assert given["connect_timeout"] <= 10
    assert silent_s <= 30
    assert given["tcp_user_timeout"] <= 30_000
