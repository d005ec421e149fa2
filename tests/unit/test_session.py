from __future__ import annotations

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors

from sinks.protocols import SinkUnavailable
from sinks.timescale.session import session_name, translated


@given(st.text())
def test_a_session_name_is_what_the_server_keeps_of_it(owner: str) -> None:
    name = session_name(owner)
    assert name.startswith("streamgauge/")
    assert len(name.encode("ascii")) <= 63
    assert name.isprintable()


@given(st.text(), st.text())
def test_two_owners_have_two_session_names(one: str, other: str) -> None:
    assert (session_name(one) == session_name(other)) == (one == other)


@pytest.mark.parametrize("first", ["x" * 51, "x" * 52, "ä"])
def test_owners_that_differ_at_the_end_alone_have_two_session_names(first: str) -> None:
    assert session_name(first + "1") != session_name(first + "2")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (errors.DiskFull("no space"), "disk is full"),
        (errors.TooManyConnections("sorry"), "max_connections"),
        (errors.InvalidPassword("no"), "writer_url"),
        (errors.ReadOnlySqlTransaction("no"), "connect to the primary"),
        (errors.LockNotAvailable("timeout"), "long transactions"),
        (errors.QueryCanceled("timeout"), "long transactions"),
        (errors.DeadlockDetected("deadlock"), "long transactions"),
        (errors.IdleInTransactionSessionTimeout("slow"), "cannot be reached"),
        (errors.AdminShutdown("terminated"), "cannot be reached"),
        (errors.SerializationFailure("again"), "cannot be reached"),
        (psycopg.OperationalError("refused"), "cannot be reached"),
        (psycopg.InterfaceError("the connection is closed"), "cannot be reached"),
        (errors.UndefinedTable("progress"), "streamgauge migrate"),
        (errors.UndefinedFunction("claim_partition"), "streamgauge migrate"),
        (errors.InsufficientPrivilege("progress"), "streamgauge_writer"),
    ],
)
def test_what_may_pass_is_unavailable_and_says_what_to_do(error: psycopg.Error, advice: str) -> None:
    meaning = translated(error)
    assert isinstance(meaning, SinkUnavailable)
    assert advice in str(meaning)
    assert str(error) in str(meaning)


@pytest.mark.parametrize(
    "error", [errors.SyntaxError("SELCT"), errors.NotNullViolation("ts"), psycopg.DataError("x")]
)
def test_a_defect_stays_what_it_is(error: psycopg.Error) -> None:
    assert translated(error) is error
