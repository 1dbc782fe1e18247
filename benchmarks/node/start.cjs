// What a Node controller loads before its first answer: express, socket.io, serialport. Listens on the port given.
"use strict";
const express = require("express");
const http = require("node:http");
const { Server } = require("socket.io");
require("serialport");

const app = express();
app.get("/healthz", (request, response) => response.json({ ok: true }));
const server = http.createServer(app);
new Server(server, { cors: { origin: "*" } });
server.listen(Number(process.argv[2]), "127.0.0.1");
