// A chat server on Socket.IO: rooms, and a message to everyone in the sender's.
//
// Standard output says port and version, standard input ends it. Nothing is stored: a member away misses what is said.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { Server } from "socket.io";

const http = createServer();
// WebSockets from the start, as its documentation advises where many connect: no long polling before.
const io = new Server(http, { transports: ["websocket"], serveClient: false });

io.on("connection", (socket) => {
  // The first request is let go, as its documentation advises against memory.
  delete socket.conn.request;
  let room;
  socket.on("join", (name, answer) => {
    room = name;
    socket.join(name);
    answer();
  });
  socket.on("send", (message) => io.to(room).emit("message", message));
});

http.listen(0, "127.0.0.1", () => {
  const of = (name) => JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;
  const version = `socket.io ${of("socket.io")}, ws ${of("ws")}, node ${process.versions.node}`;
  console.log(JSON.stringify({ port: http.address().port, version }));
});
process.stdin.resume().on("end", () => process.exit(0));
