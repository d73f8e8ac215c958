"""The CQL that the backend on Cassandra speaks, read into statements; what it does not speak is refused by name."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

TYPES: Final = ("text", "bigint", "int", "boolean", "blob")
COMPARISONS: Final = ("=", "<", "<=", ">", ">=")

_TOKEN: Final = re.compile(r"\s+|('(?:[^']|'')*'|-?\d+|[A-Za-z_]\w*|<=|>=|[<>=(),*?])")


class CqlUnknown(Exception):
    """The statement, or what it does to its table, is none that is understood here."""


class Marker(msgspec.Struct, frozen=True):
    """A `?`, by its place among those of its statement."""

    index: int


Term: TypeAlias = Marker | int | str
"""What stands for a value: one that is given with the statement, or itself."""


def value_of(term: Term, values: Sequence[Any]) -> Any:
    return values[term.index] if isinstance(term, Marker) else term


class Relation(msgspec.Struct, frozen=True):
    """`columns operator terms`, of one column or several. `token`: what is compared are the tokens of both sides.

    Of `(a, b) IN ?` the one term is a list of tuples.
    """

    columns: tuple[str, ...]
    operator: str
    terms: tuple[Term, ...]
    token: bool = False


class CreateTable(msgspec.Struct, frozen=True):
    """Columns with their types, and which of them are the key: of a partition, and of a row in it."""

    table: str
    types: dict[str, str]
    partition: tuple[str, ...]
    clustering: tuple[str, ...]


class Select(msgspec.Struct, frozen=True):
    """`columns` None: all of them. `distinct`: one row a partition."""

    table: str
    columns: tuple[str, ...] | None
    distinct: bool
    where: tuple[Relation, ...]
    limit: Term | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """INSERT, UPDATE or DELETE of one row. `values` holds its key too, `where` or the columns of the INSERT say it.

    `marks`: the row is there though all its other columns be null. `deletes`: nothing of it is there.
    `exists`: on which condition, None for neither; `conditions` what columns have to be.
    """

    table: str
    values: dict[str, Term]
    timestamp: Term | None
    marks: bool = False
    deletes: bool = False
    exists: bool | None = None
    conditions: dict[str, Term] = {}

    @property
    def conditional(self) -> bool:
        return self.exists is not None or bool(self.conditions)


Parsed: TypeAlias = CreateTable | Select | Change


@lru_cache(maxsize=1_000)
def parse(cql: str) -> tuple[Parsed, int]:
    """The statement, and how many values it takes. Raises CqlUnknown."""
    reader = _Reader(cql)
    verb = reader.word()
    statements: dict[str, Callable[[], Parsed]] = {
        "CREATE": reader.create,
        "SELECT": reader.select,
        "INSERT": reader.insert,
        "UPDATE": reader.update,
        "DELETE": reader.delete,
    }
    if verb not in statements:
        raise reader.unknown()
    parsed = statements[verb]()
    reader.end()
    return parsed, reader.markers


class _Reader:
    """The tokens of one statement, taken from left to right."""

    def __init__(self, cql: str) -> None:
        self.markers = 0
        self._cql = cql
        self._at = 0
        self._tokens: list[str] = []
        at = 0
        while at < len(cql):
            match = _TOKEN.match(cql, at)
            if match is None:
                raise CqlUnknown(f"{cql!r}: {cql[at : at + 10]!r} is none of its words")
            at = match.end()
            if match[1] is not None:
                self._tokens.append(match[1])

    def unknown(self) -> CqlUnknown:
        before = " ".join(self._tokens[: self._at])
        return CqlUnknown(f"{self._cql!r}: not understood after {before!r}")

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise self.unknown()

    # Words.

    def word(self) -> str:
        return self._take().upper()

    def create(self) -> CreateTable:
        self._expect("TABLE", "IF", "NOT", "EXISTS")
        table, types = self._name(), dict[str, str]()
        partition, clustering = tuple[str, ...](), tuple[str, ...]()
        self._expect("(")
        while True:
            if self._accept("PRIMARY", "KEY", "("):
                partition = self._names() if self._accept("(") else (self._name(),)
                clustering = self._names() if self._accept(",") else ()
                if not clustering:
                    self._expect(")")
            else:
                column, kind = self._name(), self._take()
                if kind not in TYPES:
                    raise self.unknown()
                types[column] = kind
                if self._accept("PRIMARY", "KEY"):
                    partition = (column,)
            if not self._accept(","):
                break
        self._expect(")")
        if not partition or not {*partition, *clustering} <= types.keys():
            raise CqlUnknown(f"{self._cql!r}: its key is none of its columns")
        return CreateTable(table, types, partition, clustering)

    def select(self) -> Select:
        distinct = self._accept("DISTINCT")
        columns = None if self._accept("*") else self._listed()
        self._expect("FROM")
        table, where = self._name(), self._where()
        limit = self._term() if self._accept("LIMIT") else None
        return Select(table, columns, distinct, where, limit)

    def insert(self) -> Change:
        self._expect("INTO")
        table = self._name()
        self._expect("(")
        columns = self._names()
        self._expect("VALUES", "(")
        terms = self._terms(len(columns))
        values = dict(zip(columns, terms, strict=True))
        exists = False if self._accept("IF", "NOT", "EXISTS") else None
        return Change(table=table, values=values, timestamp=self._timestamp(), marks=True, exists=exists)

    def update(self) -> Change:
        table, timestamp = self._name(), self._timestamp()
        self._expect("SET")
        values = self._assignments(",")
        keys = self._keys()
        if keys.keys() & values.keys():
            raise self.unknown()
        conditions = self._assignments("AND") if self._accept("IF") else {}
        return Change(table=table, values=values | keys, timestamp=timestamp, conditions=conditions)

    def delete(self) -> Change:
        self._expect("FROM")
        table, timestamp = self._name(), self._timestamp()
        keys = self._keys()
        exists = True if self._accept("IF", "EXISTS") else None
        return Change(table=table, values=keys, timestamp=timestamp, deletes=True, exists=exists)

    # Parts of them.

    def _where(self) -> tuple[Relation, ...]:
        relations: list[Relation] = []
        if self._accept("WHERE"):
            relations.append(self._relation())
            while self._accept("AND"):
                relations.append(self._relation())
        return tuple(relations)

    def _relation(self) -> Relation:
        if self._accept("TOKEN", "("):
            columns = self._names()
            operator = self._operator()
            self._expect("TOKEN", "(")
            return Relation(columns, operator, tuple(self._terms(len(columns))), token=True)
        if self._accept("("):
            columns = self._names()
            self._expect("IN")
            return Relation(columns, "IN", (self._marker(),))
        return Relation((self._name(),), self._operator(), (self._term(),))

    def _terms(self, count: int) -> list[Term]:
        """So many, up to the end of their brackets."""
        terms = [self._term()]
        while self._accept(","):
            terms.append(self._term())
        self._expect(")")
        if len(terms) != count:
            raise self.unknown()
        return terms

    def _keys(self) -> dict[str, Term]:
        """What a WHERE says that names one row."""
        keys: dict[str, Term] = {}
        for relation in self._where():
            if relation.token or relation.operator != "=" or relation.columns[0] in keys:
                raise self.unknown()
            keys[relation.columns[0]] = relation.terms[0]
        return keys

    def _assignments(self, between: str) -> dict[str, Term]:
        found: dict[str, Term] = {}
        while True:
            column = self._name()
            self._expect("=")
            if column in found:
                raise self.unknown()
            found[column] = self._term()
            if not self._accept(between):
                return found

    def _timestamp(self) -> Term | None:
        return self._term() if self._accept("USING", "TIMESTAMP") else None

    def _operator(self) -> str:
        operator = self._take()
        if operator not in COMPARISONS:
            raise self.unknown()
        return operator

    def _listed(self) -> tuple[str, ...]:
        names = [self._name()]
        while self._accept(","):
            names.append(self._name())
        return tuple(names)

    def _names(self) -> tuple[str, ...]:
        """Names up to a bracket, which is taken too."""
        names = self._listed()
        self._expect(")")
        return names

    def _term(self) -> Term:
        token = self._take()
        if token == "?":
            self.markers += 1
            return Marker(self.markers - 1)
        if token[0] == "'":
            return token[1:-1].replace("''", "'")
        if token[0].isdigit() or token[0] == "-":
            return int(token)
        raise self.unknown()

    def _marker(self) -> Marker:
        term = self._term()
        if not isinstance(term, Marker):
            raise self.unknown()
        return term

    def _name(self) -> str:
        name = self._take()
        if not (name[0].isalpha() or name[0] == "_"):
            raise self.unknown()
        return name.lower()

    def _take(self) -> str:
        if self._at >= len(self._tokens):
            raise self.unknown()
        self._at += 1
        return self._tokens[self._at - 1]

    def _accept(self, *words: str) -> bool:
        """Take these, if they are what comes next."""
        coming = self._tokens[self._at : self._at + len(words)]
        if [token.upper() for token in coming] != list(words):
            return False
        self._at += len(words)
        return True

    def _expect(self, *words: str) -> None:
        if not self._accept(*words):
            raise self.unknown()
