/**
 * Write a gestaltd app as a WebAssembly component in TypeScript.
 *
 *     import { App, GuestError } from "../wit/typescript/gestalt-guest";
 *
 *     const app = new App("greeter");
 *     app.operation<{ name: string }>("greet", { required: ["name"] }, (params) => {
 *       if (!params.name) throw new GuestError(422, "nobody to greet");
 *       return { text: `Hello, ${params.name}!` };
 *     });
 *     export const appProvider = app.provider();
 *
 * What a handler does decides the answer: a value is 200 and the value as JSON; an `Answer` has a status and headers
 * of its own; `GuestError(403, "nope")` is 403 {"error": "nope"}; any other exception is 500
 * {"error": "internal error"} with the details on stderr; parameters that do not fit are 400; an unknown operation is
 * 404. A handler may be async.
 */

import { invoke } from "gestalt:provider/app@0.4.0";
import type { Context, ContextInfo, ExecuteRequest, OperationResult, RpcError } from "./contract";

/** A failure the caller is told about. */
export class GuestError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Why a call to another app was not made. `code` is spelled as in the contract: `permission-denied`. */
export class CallError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** JSON text that goes out as it is: the way to keep integers JavaScript cannot hold. */
export class Json {
  constructor(readonly text: string) {}
}

/** An answer with a status and headers of its own. */
export class Answer {
  constructor(
    readonly status: number,
    readonly body: unknown,
    readonly headers: Record<string, string | string[]> = {},
  ) {}
}

/** What another app answered. */
export interface Reply {
  status: number;
  headers: Record<string, string[]>;
  text: string;
}

/** One call of one operation. */
export class Request {
  constructor(
    private readonly parts: ExecuteRequest,
    private readonly authority: Context,
    /** The app's name in the configuration. */
    readonly appName: string,
    /** The app's `config`. */
    readonly config: Record<string, unknown>,
  ) {}

  get operation(): string {
    return this.parts.operation;
  }
  /** The parameters as the caller wrote them: the text of a JSON object. */
  get params(): string {
    return this.parts.params ?? "{}";
  }
  /** Upstream credential: an access token, or a JSON object a user filled in. */
  get token(): string {
    return this.parts.token;
  }
  get connectionParams(): Record<string, string> {
    return Object.fromEntries(this.parts.connectionParams);
  }
  get invocationId(): string {
    return this.parts.invocationId;
  }
  get idempotencyKey(): string {
    return this.parts.idempotencyKey;
  }

  /** Who calls, for whom and through whom. */
  context(): ContextInfo {
    return this.authority.info();
  }

  /**
   * Calls an operation of another app on the authority of this call. A failure of the other app is a reply;
   * `CallError` means that the call was not made.
   */
  invoke(app: string, operation: string, params: unknown = {}): Reply {
    const text = params instanceof Json ? params.text : JSON.stringify(params);
    const request = {
      app,
      operation,
      params: text,
      connection: "",
      instance: "",
      idempotencyKey: "",
      credentialMode: "",
      runAs: undefined,
    };
    let result: OperationResult;
    try {
      result = invoke(this.authority, request);
    } catch (error) {
      const refusal = (error as { payload?: RpcError }).payload;
      if (!refusal) throw error;
      throw new CallError(refusal.code.tag, refusal.message);
    }
    return {
      status: result.status,
      headers: Object.fromEntries(result.headers),
      text: new TextDecoder().decode(result.body),
    };
  }
}

/** How an operation presents itself, and what it cannot do without. */
export interface OperationOptions {
  method?: string;
  title?: string;
  description?: string;
  readOnly?: boolean;
  /** JSON Schemas of the parameters by name. */
  properties?: Record<string, { type?: string; description?: string }>;
  /** Parameters without which a call is refused with 400. */
  required?: string[];
}

type Handler = (params: any, request: Request) => unknown;

/** An app: its display data and its operations. */
export class App {
  private readonly operations = new Map<string, { options: OperationOptions; handler: Handler }>();
  private startHook?: (name: string, config: Record<string, unknown>) => void;

  constructor(
    readonly name: string,
    readonly display: { displayName?: string; description?: string } = {},
  ) {}

  /** Called once per instance with the app's name and `config`. Throwing keeps the app from starting. */
  onStart(hook: (name: string, config: Record<string, unknown>) => void): this {
    this.startHook = hook;
    return this;
  }

  /** Adds an operation and the function that carries it out. */
  operation<Params>(
    id: string,
    options: OperationOptions,
    handler: (params: Params, request: Request) => unknown,
  ): this {
    if (this.operations.has(id)) throw new Error(`operation "${id}" is registered more than once`);
    this.operations.set(id, { options, handler });
    return this;
  }

  /** What a component must export under the name `appProvider`. */
  provider() {
    const started = { name: this.name, config: {} as Record<string, unknown> };
    const unimplemented = () => rpcError("unimplemented", "not offered by this app");
    return {
      getMetadata: () => ({
        name: this.name,
        displayName: this.display.displayName ?? "",
        description: this.display.description ?? "",
        connectionMode: "unspecified",
        authTypes: [],
        connectionParams: [],
        staticCatalog: this.catalog(),
        supportsSessionCatalog: false,
      }),
      startProvider: (name: string, config?: string) => {
        started.name = name;
        started.config = JSON.parse(config ?? "{}");
        try {
          this.startHook?.(name, started.config);
        } catch (error) {
          throw rpcError("failed-precondition", String((error as Error)?.message ?? error));
        }
      },
      execute: async (context: Context, parts: ExecuteRequest) =>
        encode(await this.call(new Request(parts, context, started.name, started.config))),
      getSessionCatalog: () => {
        throw unimplemented();
      },
      resolveHttpSubject: () => {
        throw unimplemented();
      },
    };
  }

  private async call(request: Request): Promise<Answer> {
    try {
      const operation = this.operations.get(request.operation);
      if (!operation) throw new GuestError(404, "unknown operation");
      const params = JSON.parse(request.params);
      check(params, operation.options);
      const answer = await operation.handler(params, request);
      return answer instanceof Answer ? answer : new Answer(200, answer);
    } catch (error) {
      if (error instanceof GuestError) return new Answer(error.status, { error: error.message });
      console.error(error instanceof Error ? `${error.message}\n${error.stack}` : String(error));
      return new Answer(500, { error: "internal error" });
    }
  }

  private catalog() {
    const operations = [...this.operations].map(([id, { options }]) => {
      const required = options.required ?? [];
      const properties = options.properties ?? {};
      return {
        id,
        method: options.method ?? "POST",
        title: options.title ?? "",
        description: options.description ?? "",
        inputSchema: JSON.stringify({ type: "object", properties, required }),
        outputSchema: "",
        annotations: { readOnlyHint: options.readOnly || undefined },
        parameters: Object.entries(properties).map(([name, property]) => ({
          name,
          type: property.type ?? "object",
          description: property.description ?? "",
          required: required.includes(name),
        })),
        requiredScopes: [],
        tags: [],
        readOnly: options.readOnly ?? false,
        visible: undefined,
        transport: "",
        allowedRoles: [],
      };
    });
    const { displayName = "", description = "" } = this.display;
    return { name: this.name, displayName, description, iconSvg: "", operations };
  }
}

/** Refuses what is missing or of another type than declared. `null` counts as absent. */
function check(params: Record<string, unknown>, { properties = {}, required = [] }: OperationOptions): void {
  for (const name of required) {
    if (params[name] == null) throw new GuestError(400, `invalid parameters: missing field \`${name}\``);
  }
  for (const [name, { type }] of Object.entries(properties)) {
    const value = params[name];
    if (value == null || !type || typeName(value) === type || (type === "number" && typeof value === "number")) continue;
    throw new GuestError(400, `invalid parameters: \`${name}\` must be of type ${type}`);
  }
}

function typeName(value: unknown): string {
  if (Array.isArray(value)) return "array";
  return Number.isInteger(value) ? "integer" : typeof value;
}

function encode(answer: Answer): OperationResult {
  const text = answer.body instanceof Json ? answer.body.text : JSON.stringify(answer.body ?? null);
  const headers = Object.entries(answer.headers ?? {}).map(
    ([name, value]): [string, string[]] => [name, Array.isArray(value) ? value : [value]],
  );
  if (!headers.some(([name]) => name.toLowerCase() === "content-type")) {
    headers.push(["Content-Type", ["application/json"]]);
  }
  return { status: answer.status, body: new TextEncoder().encode(text), headers };
}

/** The bindings take the `payload` of what is thrown for the error of the contract. */
function rpcError(tag: string, message: string): Error {
  return Object.assign(new Error(message), { payload: { code: { tag }, message } });
}
