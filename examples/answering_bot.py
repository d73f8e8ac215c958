"""Answers every question once, though it be killed between reading and answering: `post` within `on_batch`."""

import asyncio
import os
import sqlite3
import sys
from pathlib import Path

from folkmoot.client import Batch, Client

URL = os.environ.get("FOLKMOOT_URL", "http://127.0.0.1:8420")


async def main(file: Path) -> None:
    def answer(tx: sqlite3.Connection, batch: Batch) -> None:
        for entry in batch:
            if entry.text.endswith("?") and entry.sender != client.user:
                # Kept in the outbox in the same commit as the position; sent after it, again and again until answered.
                client.post(entry.group, f"{entry.sender}, nobody knows.")

    client = Client(URL, os.environ["FOLKMOOT_TOKEN"], store=file, fresh="join", on_batch=answer)
    async with client:
        print(f"answering as {client.user}", flush=True)
        await client.wait_closed()


asyncio.run(main(Path(sys.argv[1])))
