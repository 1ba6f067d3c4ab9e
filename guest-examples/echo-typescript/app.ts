/** Answers what it is asked, as a component in TypeScript. */

import { subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.12";
import { Answer, App, CallError, GuestError, Json } from "../../wit/typescript/gestalt-guest";

const app = new App("echo", { displayName: "Echo", description: "Answers what it is asked." });

app.operation("echo", { title: "Echo", description: "Answers its parameters.", readOnly: true }, (_, request) =>
  // As text: numbers beyond 2^53 would not survive JavaScript.
  new Json(request.params),
);

app.operation<{ status?: number; message?: string }>(
  "fail",
  {
    title: "Fail",
    description: "Fails with a status and a message.",
    properties: { status: { type: "integer" }, message: { type: "string" } },
  },
  ({ status = 0, message = "" }) => {
    throw status === 0 ? new Error(message) : new GuestError(status, message);
  },
);

app.operation<{ millis: number }>(
  "slow",
  {
    title: "Slow",
    description: "Sleeps, then answers.",
    properties: { millis: { type: "integer" } },
    required: ["millis"],
  },
  ({ millis }) => {
    subscribeDuration(BigInt(millis) * 1_000_000n).block();
    return { slept: millis };
  },
);

app.operation<{ status: number; headers?: Record<string, string[]>; body?: unknown }>(
  "respond",
  {
    title: "Respond",
    description: "Answers as told.",
    properties: { status: { type: "integer" }, headers: { type: "object" }, body: {} },
    required: ["status"],
  },
  ({ status, headers, body }) => new Answer(status, body, headers),
);

app.operation("crash", { title: "Crash", description: "Ends the instance it runs in." }, () => {
  // There is no exit in JavaScript, and running out of stack or memory is an error like any other. CPU time is not.
  for (;;);
});

app.operation<{ app: string; operation: string; params?: object }>(
  "call",
  {
    title: "Call",
    description: "Calls an operation of an app.",
    properties: { app: { type: "string" }, operation: { type: "string" }, params: { type: "object" } },
    required: ["app", "operation"],
  },
  (params, request) => {
    try {
      const reply = request.invoke(params.app, params.operation, params.params);
      return { status: reply.status, body: JSON.parse(reply.text) };
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      return { refused: { code: error.code, message: error.message } };
    }
  },
);

export const appProvider = app.provider();
