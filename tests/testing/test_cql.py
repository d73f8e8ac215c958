"""Every statement of the backend is understood, and a shape that nobody has taught is refused by name."""

import re

import pytest

from folkmoot.backends.cassandra import accounts, append, log, migrate, outcomes, pointers, projections, rows, transfer
from folkmoot.testing.cql import Change, CqlUnknown, CreateTable, Marker, Relation, Select, parse

MODULES = (accounts, append, log, migrate, outcomes, pointers, projections, rows, transfer)


def statements() -> list[str]:
    named = [value for module in MODULES for value in vars(module).values() if isinstance(value, str)]
    return sorted({text for text in named if re.match(r"(SELECT|INSERT|UPDATE|DELETE) ", text)})


@pytest.mark.parametrize("cql", statements())
def test_what_the_backend_says_is_understood(cql: str) -> None:
    parsed, values = parse(cql)
    assert isinstance(parsed, Select | Change)
    assert values == cql.count("?")


def test_a_table_has_its_columns_and_its_key() -> None:
    simple, _ = parse("CREATE TABLE IF NOT EXISTS meta (name text PRIMARY KEY, value text)")
    assert simple == CreateTable("meta", {"name": "text", "value": "text"}, ("name",), ())
    columns = "a text, b bigint, c text, d blob"
    for key, partition, clustering in (
        ("(a, b), c", ("a", "b"), ("c",)),
        ("(a)", ("a",), ()),
        ("a, b, c", ("a",), ("b", "c")),
    ):
        parsed, _ = parse(f"CREATE TABLE IF NOT EXISTS t ({columns}, PRIMARY KEY ({key}))")
        assert isinstance(parsed, CreateTable)
        assert (parsed.partition, parsed.clustering) == (partition, clustering)


def test_values_are_numbered_as_they_stand_and_constants_are_themselves() -> None:
    parsed, values = parse("UPDATE t USING TIMESTAMP ? SET a = ?, b = -2 WHERE k = 'it''s' IF c = ? AND d = ?")
    assert values == 4
    assert parsed == Change(
        table="t",
        values={"a": Marker(1), "b": -2, "k": "it's"},
        timestamp=Marker(0),
        conditions={"c": Marker(2), "d": Marker(3)},
    )
    parsed, _ = parse("INSERT INTO t (a, b) VALUES (?, 0) IF NOT EXISTS USING TIMESTAMP ?")
    assert parsed == Change(table="t", values={"a": Marker(0), "b": 0}, timestamp=Marker(1), marks=True, exists=False)
    parsed, _ = parse("DELETE FROM t WHERE a = 1 IF EXISTS")
    assert parsed == Change(table="t", values={"a": 1}, timestamp=None, deletes=True, exists=True)


def test_rows_are_asked_for_by_columns_tokens_and_lists() -> None:
    parsed, _ = parse("SELECT DISTINCT a, b FROM t WHERE token(a, b) > token(?, ?) LIMIT 3")
    after = Relation(("a", "b"), ">", (Marker(0), Marker(1)), token=True)
    assert parsed == Select("t", ("a", "b"), True, (after,), 3)
    parsed, _ = parse("SELECT * FROM t WHERE a = ? AND (b, c) IN ? AND d >= 1")
    where = (
        Relation(("a",), "=", (Marker(0),)),
        Relation(("b", "c"), "IN", (Marker(1),)),
        Relation(("d",), ">=", (1,)),
    )
    assert parsed == Select("t", None, False, where, None)


@pytest.mark.parametrize(
    "cql",
    [
        "",
        "TRUNCATE t",
        "SELECT a FROM t;",
        "SELECT count(*) FROM t",
        "SELECT a FROM t ORDER BY a",
        "SELECT a FROM t WHERE a = ? ALLOW FILTERING",
        "SELECT a FROM t WHERE a IN (1, 2)",
        "SELECT a FROM t WHERE a = ? OR b = ?",
        "SELECT a FROM t LIMIT",
        "INSERT INTO t (a, b) VALUES (?)",
        "INSERT INTO t (a) VALUES (?) USING TTL 3",
        "INSERT INTO t (a) VALUES (now())",
        "UPDATE t SET a = a + 1 WHERE k = ?",
        "UPDATE t SET a = ?, a = ? WHERE k = ?",
        "UPDATE t SET a = ? WHERE a = ?",
        "UPDATE t SET a = ? WHERE k > ?",
        "UPDATE t SET a = ? WHERE k = ? IF EXISTS",
        "DELETE a FROM t WHERE k = ?",
        "DELETE FROM t WHERE k = ? AND k = ?",
        "CREATE TABLE t (a text PRIMARY KEY)",
        "CREATE TABLE IF NOT EXISTS t (a counter PRIMARY KEY)",
        "CREATE TABLE IF NOT EXISTS t (a text)",
        "CREATE TABLE IF NOT EXISTS t (a text, PRIMARY KEY (b))",
        "CREATE INDEX i ON t (a)",
    ],
)
def test_what_is_not_understood_is_raised(cql: str) -> None:
    with pytest.raises(CqlUnknown):
        parse(cql)
