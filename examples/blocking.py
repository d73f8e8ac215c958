"""Without asyncio: a script that makes a group, says what is on its command line, and reads it back."""

import os
import sys

from folkmoot.client import SendRefused
from folkmoot.client.sync import SyncClient

URL = os.environ.get("FOLKMOOT_URL", "http://127.0.0.1:8420")

with SyncClient(URL, os.environ["FOLKMOOT_TOKEN"], fresh="join") as client:
    group = client.create_group("from a script")
    for word in sys.argv[1:]:
        try:
            client.send(group, word)
        except SendRefused as refused:
            print(f"not sent, for good: {refused}")
    client.send(group, type="example.end", data={"words": len(sys.argv) - 1})
    for entry in client:
        print(entry.seq, entry.text or entry.kind)
        if entry.type == "example.end":
            break
