"""Counts words per sender. However often it is killed, each message counts once: see `on_batch`."""

import asyncio
import os
import sqlite3
import sys
from pathlib import Path

from folkmoot.client import Batch, Client

URL = os.environ.get("FOLKMOOT_URL", "http://127.0.0.1:8420")


def count_words(tx: sqlite3.Connection, batch: Batch) -> None:
    """Runs inside the transaction that moves the client's positions: both are committed, or neither is."""
    tx.execute("CREATE TABLE IF NOT EXISTS words (sender TEXT PRIMARY KEY, count INTEGER NOT NULL)")
    for entry in batch:
        tx.execute(
            "INSERT INTO words VALUES (?, ?) ON CONFLICT (sender) DO UPDATE SET count = count + excluded.count",
            (entry.sender, len(entry.text.split())),
        )


async def main(file: Path) -> None:
    # The application's own table and the client's lie in one file, so one commit keeps both.
    client = Client(URL, os.environ["FOLKMOOT_TOKEN"], store=file, fresh="join", on_batch=count_words)
    async with client:
        print(f"counting as {client.user} into {file}", flush=True)
        await client.wait_closed()


asyncio.run(main(Path(sys.argv[1])))
