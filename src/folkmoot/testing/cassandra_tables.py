"""Cassandra's tables in memory, with the session that the store speaks to: for thousands of runs in seconds.

Statements are understood, not known one by one (`testing.cql`); what is not understood is raised. `copies` are those of
a cluster, each of which may lack what another has: `testing.cassandra_replicas` says which get a write, and when.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Any, Final, TypeAlias

import msgspec

from folkmoot.backends import cassandra
from folkmoot.backends.cassandra.driver import Driver, Statement
from folkmoot.backends.cassandra.driver import Row as Told
from folkmoot.backends.cassandra.migrate import SCRIPTS
from folkmoot.testing.cql import Change, CqlUnknown, CreateTable, Relation, Select, Term, parse, value_of

Key: TypeAlias = tuple[Any, ...]
Place: TypeAlias = tuple[str, Key]
"""A partition: its table, and its key there."""

_CLOCK_FIRST_US: Final = 1_760_000_000_000_000
_KINDS: Final[dict[str, type]] = {"text": str, "bigint": int, "int": int, "boolean": bool, "blob": bytes}
_BITS: Final = {"bigint": 63, "int": 31}


class Mutation(msgspec.Struct, frozen=True, kw_only=True):
    """What one statement writes to one row: cells by column (None: a tombstone), under one timestamp."""

    place: Place
    row: Key
    timestamp: int
    cells: dict[str, Any]
    marks: bool
    deletes: bool


class Row:
    """Cells by column, each with its timestamp; when the row was last said to be there, and when last to be gone.

    Never changed in place, so that copies that have the same share it.
    """

    def __init__(self, cells: dict[str, tuple[int, Any]], marked: int, deleted: int) -> None:
        self.cells = cells
        self.marked = marked
        self.deleted = deleted
        found = {column: value for column, (at, value) in cells.items() if value is not None and at > deleted}
        self.live = found if found or marked > deleted else None
        """Its cells that are there; None: there is no such row."""

    def after(self, other: "Row") -> "Row":
        """Both together. The last write of each cell wins; of two at once a tombstone, else the larger value."""
        cells = dict(self.cells)
        for column, cell in other.cells.items():
            held = cells.get(column)
            if held is None or _order(cell) > _order(held):
                cells[column] = cell
        return Row(cells, max(self.marked, other.marked), max(self.deleted, other.deleted))


_NO_ROW: Final = Row({}, -1, -1)


class _Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A SELECT on its table. `columns` with the place in the key of those that are of it."""

    table: CreateTable
    columns: list[tuple[str, int | None]]
    distinct: bool
    of_partition: list[Relation]
    within: list[Relation]
    limit: Term | None


Copy: TypeAlias = dict[Place, dict[Key, Row]]
"""What one node has."""


class Tables:
    """All tables of a keyspace, as the scripts of the schema make them, on some copies.

    `among` are the copies that a statement meets: what is read is what they have together, which each of them has then.
    """

    def __init__(self, *, copies: int = 1) -> None:
        self.copies: list[Copy] = [{} for _ in range(copies)]
        self._tables: dict[str, CreateTable] = {}
        self._readings: dict[str, _Reading] = {}
        self._clock_us = _CLOCK_FIRST_US
        for script in SCRIPTS:
            text = resources.files(cassandra).joinpath(script).read_text()
            bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
            for statement in filter(None, map(str.strip, bare.split(";"))):
                self.create(statement)

    def create(self, cql: str) -> None:
        parsed, _ = parse(cql)
        if not isinstance(parsed, CreateTable):
            raise CqlUnknown(f"{cql!r} makes no table")
        self._tables.setdefault(parsed.table, parsed)

    def now_us(self) -> int:
        """A timestamp, later than all before it."""
        self._clock_us += 1
        return self._clock_us

    # Reading.

    def select(self, cql: str, values: Sequence[Any], among: Sequence[int] = (0,)) -> list[Told]:
        """The rows, in the order of their partitions' tokens and of their keys."""
        reading = self._reading(cql, values)
        limit = None if reading.limit is None else value_of(reading.limit, values)
        found: list[Told] = []
        for partition, clustering, cells in self._rows(reading, values, among):
            if limit is not None and len(found) >= limit:
                break
            key = partition + clustering
            found.append(tuple(cells.get(c) if at is None else key[at] for c, at in reading.columns))
        return found

    def partition(self, cql: str, values: Sequence[Any]) -> Place | None:
        """The one partition that the statement is about; None: more than one."""
        parsed, _ = parse(cql)
        assert not isinstance(parsed, CreateTable)
        if isinstance(parsed, Change):
            return self._mutation(parsed, values, 0).place
        reading = self._reading(cql, values)
        if not reading.of_partition or reading.of_partition[0].token:
            return None
        return reading.table.table, _given(reading, values)

    # Writing.

    def mutation(self, cql: str, values: Sequence[Any], timestamp: int) -> Mutation:
        """What an unconditional statement writes, under its own timestamp or else this one."""
        change = _taking(cql, values, Change)
        if change.conditional:
            raise CqlUnknown(f"{cql!r} has a condition: it has to be decided")
        return self._mutation(change, values, timestamp)

    def judge(
        self, statements: Sequence[Statement], among: Sequence[int] = (0,)
    ) -> tuple[list[Told], list[Mutation] | None]:
        """What a conditional batch is answered, and what it writes: None where a condition does not hold.

        The answer has what the driver's callers look at: whether it was applied, and else, after that, the rows that
        were in the way, all their columns.
        """
        changes = [_taking(cql, values, Change) for cql, values in statements]
        timestamp = self.now_us()
        mutations = [self._mutation(c, v, timestamp) for c, (_, v) in zip(changes, statements, strict=True)]
        if len({mutation.place for mutation in mutations}) != 1:
            raise CqlUnknown("a conditional batch is one partition's")
        if not any(change.conditional for change in changes):
            raise CqlUnknown("nothing in the batch has a condition")
        if any(change.timestamp is not None for change in changes):
            raise CqlUnknown("a conditional batch has no timestamp of its own")
        refused, in_the_way = False, list[Told]()
        for change, mutation, (_, values) in zip(changes, mutations, statements, strict=True):
            if not change.conditional:
                continue
            cells = self._merged(mutation.place, mutation.row, among).live
            if not self._holds(change, cells, values):
                refused = True
                if cells is not None:
                    in_the_way.append((False, *self._told(mutation, cells)))
        if refused:
            return in_the_way or [(False,)], None
        return [(True,)], mutations

    def apply(self, mutations: Iterable[Mutation], among: Iterable[int] = (0,)) -> None:
        copies = [self.copies[n] for n in among]
        for m in mutations:
            cells = {column: (m.timestamp, value) for column, value in m.cells.items()}
            written = Row(cells, m.timestamp if m.marks else -1, m.timestamp if m.deletes else -1)
            for copy in copies:
                rows = copy.setdefault(m.place, {})
                held = rows.get(m.row)
                rows[m.row] = written if held is None else held.after(written)

    # Inside.

    def _table(self, name: str) -> CreateTable:
        if name not in self._tables:
            raise CqlUnknown(f"there is no table {name}")
        return self._tables[name]

    def _all_columns(self, table: CreateTable) -> tuple[str, ...]:
        key = table.partition + table.clustering
        return key + tuple(sorted(table.types.keys() - {*key}))

    def _told(self, mutation: Mutation, cells: dict[str, Any]) -> Told:
        table = self._table(mutation.place[0])
        others = self._all_columns(table)[len(table.partition + table.clustering) :]
        return (*mutation.place[1], *mutation.row, *(cells.get(column) for column in others))

    def _holds(self, change: Change, cells: dict[str, Any] | None, values: Sequence[Any]) -> bool:
        if change.exists is not None and change.exists != (cells is not None):
            return False
        table = self._table(change.table)
        for column, term in change.conditions.items():
            if column in table.partition + table.clustering:
                raise CqlUnknown(f"a condition on {column}, which is of the key")
            if (cells or {}).get(column) != _fit(table, column, value_of(term, values)):
                return False
        return True

    def _mutation(self, change: Change, values: Sequence[Any], timestamp: int) -> Mutation:
        table = self._table(change.table)
        given = {column: _fit(table, column, value_of(term, values)) for column, term in change.values.items()}
        key = table.partition + table.clustering
        if any(given.get(column) is None for column in key):
            raise CqlUnknown(f"a change of {table.table} names one row: {', '.join(key)}")
        if change.timestamp is not None:
            timestamp = value_of(change.timestamp, values)
        return Mutation(
            place=(table.table, tuple(given[column] for column in table.partition)),
            row=tuple(given[column] for column in table.clustering),
            timestamp=timestamp,
            cells={column: value for column, value in given.items() if column not in key},
            marks=change.marks,
            deletes=change.deletes,
        )

    def _reading(self, cql: str, values: Sequence[Any]) -> _Reading:
        select = _taking(cql, values, Select)
        if cql not in self._readings:
            table = self._table(select.table)
            columns = select.columns or self._all_columns(table)
            key = table.partition + table.clustering
            if not {*columns} <= table.types.keys():
                raise CqlUnknown(f"{cql!r}: {table.table} has no such column")
            if select.distinct and {*columns} != {*table.partition}:
                raise CqlUnknown(f"{cql!r}: what is distinct are partitions")
            self._readings[cql] = _Reading(
                table=table,
                columns=[(column, key.index(column) if column in key else None) for column in columns],
                distinct=select.distinct,
                of_partition=_of_partition(table, select.where),
                within=_within(table, select.where),
                limit=select.limit,
            )
        return self._readings[cql]

    def _rows(
        self, reading: _Reading, values: Sequence[Any], among: Sequence[int]
    ) -> Iterator[tuple[Key, Key, dict[str, Any]]]:
        for partition in self._partitions(reading, values, among):
            place = (reading.table.table, partition)
            keys = {key for n in among for key in self.copies[n].get(place, ())}
            for clustering in _matching(reading, values, keys):
                cells = self._merged(place, clustering, among).live
                if cells is not None:
                    yield partition, clustering, cells
                    if reading.distinct:
                        break

    def _partitions(self, reading: _Reading, values: Sequence[Any], among: Sequence[int]) -> list[Key]:
        if reading.of_partition and not reading.of_partition[0].token:
            return [_given(reading, values)]
        keys = {key for n in among for name, key in self.copies[n] if name == reading.table.table}
        if reading.of_partition:
            after = _token(value_of(term, values) for term in reading.of_partition[0].terms)
            keys = {key for key in keys if _token(key) > after}
        return sorted(keys, key=_token)

    def _merged(self, place: Place, key: Key, among: Sequence[int]) -> Row:
        first, *others = [self.copies[n].get(place, {}).get(key, _NO_ROW) for n in among]
        merged = first
        for row in others:
            if row is not first:
                merged = merged.after(row)
        if merged is not first:
            # Repaired by this read. What it did not look at, of the same write, is not: so a head may be newer than
            # what was written together with it.
            for n in among:
                self.copies[n].setdefault(place, {})[key] = merged
        return merged


class TablesDriver(Driver):
    """A session with tables in memory that never fails, and lets others have a turn before each statement."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(None, "in_memory", None)
        self.tables = tables

    async def write(self, cql: str, values: Sequence[Any]) -> None:
        await self._turn()
        self.tables.apply([self.tables.mutation(cql, values, self.tables.now_us())])

    async def decide(self, *statements: Statement) -> tuple[bool, list[Told]]:
        await self._turn()
        rows, mutations = self.tables.judge(statements)
        self.tables.apply(mutations or ())
        return bool(rows[0][0]), rows

    async def run(self, cql: str) -> list[Told]:
        match parse(cql)[0]:
            case Select():
                return await self._read(cql, (), serial=False)
            case CreateTable():
                self.tables.create(cql)
            case Change(conditional=True):
                return (await self.decide((cql, ())))[1]
            case _:
                await self.write(cql, ())
        return []

    async def close(self) -> None:
        self.closed = True

    async def _read(self, cql: str, values: Sequence[Any], serial: bool) -> list[Told]:
        await self._turn()
        return self.tables.select(cql, values)

    async def _turn(self) -> None:
        self.check()
        self.requests += 1
        await asyncio.sleep(0)
        self.check()


def _order(cell: tuple[int, Any]) -> tuple[int, bool, Any]:
    return cell[0], cell[1] is None, cell[1]


def _taking(cql: str, values: Sequence[Any], kind: type[Any]) -> Any:
    """The statement, which has to be of a kind, and to take so many values."""
    parsed, count = parse(cql)
    if not isinstance(parsed, kind) or count != len(values):
        raise CqlUnknown(f"{cql!r} is no {kind.__name__} of {len(values)} values")
    return parsed


def _fit(table: CreateTable, column: str, value: Any) -> Any:
    """The value, found to be one of the column's type."""
    if column not in table.types:
        raise CqlUnknown(f"{table.table} has no column {column}")
    kind = table.types[column]
    bits = _BITS.get(kind)
    if value is not None and (
        type(value) is not _KINDS[kind] or (bits is not None and not -(2**bits) <= value < 2**bits)
    ):
        raise CqlUnknown(f"{column} of {table.table} is {kind}, and cannot be {value!r}")
    return value


def _token(partition: Iterable[Any]) -> bytes:
    return hashlib.blake2b(repr(tuple(partition)).encode(), digest_size=8).digest()


def _of_partition(table: CreateTable, relations: Sequence[Relation]) -> list[Relation]:
    """Which partitions: one by all of its key, in the order of that; those after a token; or all."""
    found = {relation.columns: relation for relation in relations if {*relation.columns} & {*table.partition}}
    if found.keys() == {table.partition} and found[table.partition].token and found[table.partition].operator == ">":
        return [found[table.partition]]
    if found and (found.keys() != {(c,) for c in table.partition} or {r.operator for r in found.values()} != {"="}):
        raise CqlUnknown(f"{table.table} is read by {', '.join(table.partition)}, or on from a token of it")
    return [found[(column,)] for column in table.partition] if found else []


def _within(table: CreateTable, relations: Sequence[Relation]) -> list[Relation]:
    """Which rows of a partition: by the first columns of their key, and a range of the last of these."""
    found = [relation for relation in relations if not {*relation.columns} & {*table.partition}]
    named = list(dict.fromkeys(column for relation in found for column in relation.columns))
    ranged = {relation.columns[0] for relation in found if relation.operator not in ("=", "IN")}
    if (
        tuple(named) != table.clustering[: len(named)]
        or any(column in ranged for column in named[:-1])
        or any(relation.token for relation in found)
        or (len(found) > 1 and any(relation.operator == "IN" for relation in found))
    ):
        raise CqlUnknown(f"rows of {table.table} are read by {', '.join(table.clustering)}, in this order")
    return found


def _given(reading: _Reading, values: Sequence[Any]) -> Key:
    """The key of the one partition."""
    return tuple(_fit(reading.table, r.columns[0], value_of(r.terms[0], values)) for r in reading.of_partition)


def _matching(reading: _Reading, values: Sequence[Any], keys: set[Key]) -> list[Key]:
    table = reading.table
    for relation in reading.within:
        given = value_of(relation.terms[0], values)
        if relation.operator == "IN":
            size = len(relation.columns)
            wanted = {
                tuple(_fit(table, c, part) for c, part in zip(relation.columns, one, strict=True)) for one in given
            }
            keys = {key for key in keys if key[:size] in wanted}
        else:
            at = table.clustering.index(relation.columns[0])
            bound = _fit(table, relation.columns[0], given)
            keys = {key for key in keys if _compares(key[at], relation.operator, bound)}
    # Text is ordered by its bytes, which is the order of its characters too.
    return sorted(keys)


def _compares(left: Any, operator: str, right: Any) -> bool:
    match operator:
        case "=":
            return bool(left == right)
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
        case _:
            return bool(left >= right)
