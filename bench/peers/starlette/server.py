"""A chat server on Starlette: rooms in a dictionary, and a message written to everyone in the sender's, one by one.

What a Python team would write first. Standard output says port and version, standard input ends it. Nothing is stored.
"""

import asyncio
import contextlib
import json
import socket
import sys
import threading
from importlib.metadata import version

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

rooms: dict[str, set[WebSocket]] = {}


async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    members: set[WebSocket] = set()
    try:
        while True:
            said = await websocket.receive_json()
            if said["type"] == "join":
                members = rooms.setdefault(said["room"], set())
                members.add(websocket)
                await websocket.send_json({"type": "joined"})
            else:
                text = json.dumps({"type": "message", "id": said["id"], "text": said["text"]}, separators=(",", ":"))
                for member in list(members):
                    # One who has just left is no reason for the others to miss it.
                    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                        await member.send_text(text)
    except WebSocketDisconnect:
        pass
    finally:
        members.discard(websocket)


async def main() -> None:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", 0))
    listening.listen(4_096)
    app = Starlette(routes=[WebSocketRoute("/socket", chat)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    loop = asyncio.get_running_loop()

    def end_with_input() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(setattr, server, "should_exit", True)

    threading.Thread(target=end_with_input, daemon=True).start()
    parts = ("starlette", "uvicorn", "websockets", "uvloop")
    versions = ", ".join(f"{part} {version(part)}" for part in parts)
    said = {"port": listening.getsockname()[1], "version": f"{versions}, python {sys.version.split()[0]}"}
    print(json.dumps(said), flush=True)
    await server.serve(sockets=[listening])


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
