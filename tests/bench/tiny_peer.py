"""A small server of rooms for tests of comparisons, in the words of the starlette peer: `tiny_peer.py FOLDER`.

With `--lossy` it forgets every second message, as one that does not keep up would.
"""

import asyncio
import json
import sys

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

rooms: dict[str, set[ServerConnection]] = {}
said_so_far = 0


async def chat(websocket: ServerConnection) -> None:
    global said_so_far
    room: set[ServerConnection] = set()
    try:
        async for text in websocket:
            said = json.loads(text)
            if said["type"] == "join":
                room = rooms.setdefault(said["room"], set())
                room.add(websocket)
                await websocket.send('{"type":"joined"}')
                continue
            said_so_far += 1
            if "--lossy" not in sys.argv or said_so_far % 2:
                entry = json.dumps({"type": "message", "id": said["id"], "text": said["text"]}, separators=(",", ":"))
                for member in list(room):
                    await member.send(entry)
    except ConnectionClosed:
        pass
    finally:
        room.discard(websocket)


async def main() -> None:
    async with serve(chat, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        print(json.dumps({"port": port, "version": "tiny 1"}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
