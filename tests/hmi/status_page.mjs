// The script of the status page without a browser: `document` and `fetch` are stand-ins, the clock is the real one.
// Usage: node status_page.mjs PAGE; lines of JSON: {answers: {path: [status, body] | "hang" | "fail"}}, {click: true}, {read: true}
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { runInThisContext } from "node:vm";

class Element {
  constructor() { this.textContent = ""; this.className = ""; this.children = []; this.on = {}; }
  append(...added) { this.children.push(...added); }
  replaceChildren(...added) { this.children = added; }
  addEventListener(name, act) { this.on[name] = act; }
  get text() { return [this.textContent, ...this.children.map((child) => child.text)].filter(Boolean).join(" "); }
}
const elements = {};
let answers = {};
const tell = (message) => process.stdout.write(JSON.stringify(message) + "\n");
globalThis.location = { hash: "" };
globalThis.document = {
  createElement: () => new Element(),
  getElementById: (id) => (elements[id] ??= new Element()),
};
globalThis.fetch = (path, { signal } = {}) => new Promise((resolve, reject) => {
  const answer = answers[path] ?? "hang";
  if (answer === "fail") return reject(new TypeError("Failed to fetch"));
  if (answer !== "hang") return resolve({ ok: answer[0] < 400, status: answer[0], json: async () => answer[1] });
  signal?.addEventListener("abort", () => reject(signal.reason));
});

createInterface({ input: process.stdin }).on("line", (line) => {
  const asked = JSON.parse(line);
  if (asked.answers) answers = asked.answers;
  if (asked.begin) runInThisContext(readFileSync(process.argv[2], "utf8").match(/<script>(.*?)<\/script>/s)[1]);
  if (asked.click) elements.stop.on.click();
  tell(Object.fromEntries(Object.entries(elements).map(([id, element]) => [id, element.text])));
}).on("close", () => process.exit(0));
