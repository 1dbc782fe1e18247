// The Node peer: a socket.io server as an HMI back end usually is, sending the payload in FILE at RATE_HZ.
//
//     node server.cjs RATE_HZ FILE     prints its port; each line on standard input has it print, and forget, the
//                                      times (CLOCK_MONOTONIC, ns) at which it began to send
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const readline = require("node:readline");
const { Server } = require("socket.io");

const [rate, file] = [Number(process.argv[2]), process.argv[3]];
const payload = JSON.parse(fs.readFileSync(file, "utf8"));
const server = http.createServer();
const io = new Server(server, { cors: { origin: "*" } });
let stamps = [];

// setInterval counts whole milliseconds only: the next time is counted from the start instead, so 60 Hz are 60 Hz
const begin = performance.now();
let ticks = 0;
function tick() {
  stamps.push(String(process.hrtime.bigint()));
  payload.actualPosition[0] = ticks % 1000;  // another text every time, of about the same length
  io.emit("data", payload);
  ticks += 1;
  setTimeout(tick, Math.max(0, begin + (ticks * 1000) / rate - performance.now()));
}

readline.createInterface({ input: process.stdin }).on("line", () => {
  process.stdout.write(`[${stamps.join(",")}]\n`);
  stamps = [];
}).on("close", () => process.exit(0));
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`${server.address().port}\n`);
  tick();
});
