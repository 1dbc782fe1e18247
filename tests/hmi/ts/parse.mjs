// Validates an AsyncAPI document with AsyncAPI's own parser; prints its diagnostics as JSON.
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(await readFile(process.argv[2], "utf8"));
const messages = document ? Object.fromEntries(document.allOperations().all().map(
  (operation) => [operation.id(), operation.messages().all().map((message) => message.id())])) : {};
console.log(JSON.stringify({ messages, diagnostics: diagnostics.map(({ severity, code, message, path }) => (
  { severity, code, message, path: path.join(".") })) }));
