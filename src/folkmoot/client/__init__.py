"""The Python SDK: connect, send, receive each entry once and in order, keep what must last."""

from folkmoot.client.client import Client, HistoryPage
from folkmoot.client.core import Statistics
from folkmoot.client.errors import (
    ClientError,
    ConnectionEnded,
    NotConnected,
    OutboxFull,
    RequestFailed,
    SendRefused,
    SendUnknown,
    StoreOfAnother,
    StoreTaken,
    StoreUnknown,
)
from folkmoot.client.outbox import Answered
from folkmoot.client.received import Batch, GroupEvent, Received
from folkmoot.client.store import ClientStore, MemoryClientStore, SqliteClientStore

__all__ = [
    "Answered",
    "Batch",
    "Client",
    "ClientError",
    "ClientStore",
    "ConnectionEnded",
    "GroupEvent",
    "HistoryPage",
    "MemoryClientStore",
    "NotConnected",
    "OutboxFull",
    "Received",
    "RequestFailed",
    "SendRefused",
    "SendUnknown",
    "SqliteClientStore",
    "Statistics",
    "StoreOfAnother",
    "StoreTaken",
    "StoreUnknown",
]
