// A small page: events and HTTP requests through the declarations that the controller serves at /allyarm.d.ts.
import { io, type Socket } from "socket.io-client";
import type {
  Answer, ClientToServerEvents, Command, DataMessage, Position, Problem, RestApi, ServerToClientEvents, StateMessage,
} from "./allyarm.js";

const url = (globalThis as unknown as { process: { argv: string[] } }).process.argv[2]!;

async function ask<Key extends keyof RestApi>(key: Key, body: RestApi[Key]["request"]): Promise<RestApi[Key]["answer"]> {
  const [method, path] = key.split(" ") as [string, string];
  const init = method === "GET" ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) };
  const response = await fetch(url + path, { method, ...init });
  if (!response.ok) throw new Error(((await response.json()) as Problem).message);
  return (await response.json()) as RestApi[Key]["answer"];
}

const arm: Socket<ServerToClientEvents, ClientToServerEvents> = io(url, { transports: ["websocket"] });
const once = <Event extends keyof ServerToClientEvents>(event: Event) =>
  new Promise<Parameters<ServerToClientEvents[Event]>[0]>((resolve) => arm.once(event, resolve as never));
const command = (message: Command) => new Promise<Answer>((resolve) => arm.emit("command", message, resolve));
const press = (button: "start" | "stop") => new Promise<Answer>((resolve) => arm.emit("response", [button], resolve));

const data: DataMessage = await once("data");
const position: number | null = data.actualPositionDeg[0]!;
await command({ type: "subscribe", event: "state", rate_hz: 20 });
const state: StateMessage = await once("state");
const version = await new Promise<Answer>((resolve) => arm.emit("response", { "1": "1.7.8" }, resolve));
arm.emit("response", { "80": 5, lockJoySens: false });
const stopped = await press("stop");
const refused = await command({ type: "move", position_deg: { "1": 10 }, speed_percent: 50 }); // in the first second

await ask("POST /save_exercises", { name: "Wave", rep: 2, positions: [{ axis_1: 10, pause: 0.5, speed: 50 }] });
const rows: Position[] = (await ask("POST /edit_exercise", { name: "Wave" })).result;
const names = await ask("GET /exercises_names", undefined);
await ask("POST /save_scenario_mode", { scenarioName: "Lunch", scenario: [{ exercise: "Wave" }] });
await ask("POST /play_scenario_mode", "Lunch");
const scenarios = await ask("GET /scenario_names", undefined);
const missing = await ask("POST /delete_exercise", { name: "Nobody" }).catch((error: unknown) => String(error));

console.log(JSON.stringify({
  position, axes: state.axis.length, axis: state.axis[0]!.position_deg, version: version.ok, stopped: stopped.ok,
  refused: refused.error?.code, row: rows[0]!.axis_1, rep: names[0]!.rep, chosen: scenarios.lastScenario, missing,
}));
arm.close();
