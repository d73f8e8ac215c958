"""Two people in one group: the shortest whole program. Needs a server (`make serve`) and a token of each."""

import asyncio
import os

from folkmoot.client import Client

URL = os.environ.get("FOLKMOOT_URL", "http://127.0.0.1:8420")


async def main() -> None:
    async with Client(URL, os.environ["TOKEN_1"]) as one, Client(URL, os.environ["TOKEN_2"]) as two:
        group = await one.create_group("the first", members=[two.user])
        seq = await one.send(group, "Is anybody there?")
        print(f"stored as entry {seq}")
        async for entry in two:
            if entry.text:
                print(f"{entry.sender}: {entry.text}")
                break
        await two.send(group, "Everybody who joined.")
        for entry in (await one.history(group)).entries:
            print(entry.seq, entry.kind, entry.sender, entry.text)


asyncio.run(main())
