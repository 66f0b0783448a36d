"""The pool of connections to PostgreSQL: what the server has ended is not handed out, what it has not is not asked."""

from __future__ import annotations

import socket

import psycopg
import pytest

from tasks.storage import sql
from tasks.storage.database import socket_readable
from tasks.storage.models.base import db
from tests.support.waiting import until

pytestmark = [
    pytest.mark.usefixtures("records"),
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
]


def backend() -> int:
    """Return the process that serves this thread's connection."""
    return int(sql.rows("SELECT pg_backend_pid()")[0][0])


def give_back_and_take() -> None:
    db.close()
    db.connect()


def test_a_connection_is_used_again_without_a_question(database_url: str) -> None:
    sql.rows("SELECT 'the last one'")
    pid = backend()
    sql.rows("SELECT 'the last one'")
    give_back_and_take()
    with psycopg.connect(database_url) as other:
        ((asked,),) = other.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchall()
    assert asked == "SELECT 'the last one'"
    assert backend() == pid


def test_a_connection_that_the_server_ended_is_not_handed_out(database_url: str) -> None:
    pid = backend()
    db.close()
    with psycopg.connect(database_url, autocommit=True) as other:  # a transaction sees pg_stat_activity as it was
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        wait_until_gone(other, pid)
    db.connect()
    assert backend() != pid


def wait_until_gone(other: psycopg.Connection[tuple[int]], pid: int) -> None:
    found = "SELECT pid FROM pg_stat_activity WHERE pid = %s"
    until(lambda: not other.execute(found, (pid,)).fetchall(), "the end of the connection")


def test_a_notice_alone_ends_no_connection(database_url: str) -> None:
    """Unread data cause a query; a connection that answers it stays."""
    pid = backend()
    db.execute_sql("LISTEN here")
    socket_number = db.connection().fileno()
    db.close()
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("NOTIFY here")
    until(lambda: socket_readable(socket_number), "the notice")
    db.connect()
    assert backend() == pid


def test_news_are_what_came_in_and_an_end() -> None:
    here, there = socket.socketpair()
    with here, there:
        assert not socket_readable(here.fileno())
        there.sendall(b"x")
        assert socket_readable(here.fileno())
        here.recv(1)
        assert not socket_readable(here.fileno())
        there.close()
        assert socket_readable(here.fileno())
