// The real socket.io-client, driven by lines of JSON on stdin; what happens goes out as lines of JSON on stdout.
// Usage: node client.mjs PACKAGE URL OPTIONS_JSON
import { createInterface } from "node:readline";

const [name, url, options] = process.argv.slice(2);
const { io } = await import(name);
const socket = io(url, JSON.parse(options));
const tell = (message) => process.stdout.write(JSON.stringify(message) + "\n");

socket.on("connect", () => tell({ is: "connect", transport: socket.io.engine.transport.name }));
socket.on("disconnect", (reason) => tell({ is: "disconnect", reason }));
socket.on("connect_error", (error) => tell({ is: "connect_error", message: error.message }));
for (const event of ["data", "state"]) socket.on(event, (payload) => tell({ is: event, payload }));

createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, emit, args, drop } = JSON.parse(line);
  if (drop) return socket.io.engine.close();           // the link is lost; the client reconnects by itself
  if (id === undefined) return socket.emit(emit, ...args);
  socket.timeout(5000).emit(emit, ...args, (error, answer) => tell({ is: "answer", id, answer: error ? null : answer }));
}).on("close", () => process.exit(0));
