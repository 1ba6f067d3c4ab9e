/** The part of `wit/` that gestalt-guest.ts names, as componentize-js presents it. */

export interface RpcError {
  code: { tag: string; val?: number };
  message: string;
}

export interface ContextInfo {
  subject?: { id: string; email: string; displayName: string };
  publicBaseUrl: string;
  invocation?: { requestId: string; depth: number; callChain: string[]; surface: string };
}

export interface Context {
  info(): ContextInfo;
  retain(): Context;
}

export interface ExecuteRequest {
  operation: string;
  params?: string;
  token: string;
  connectionParams: [string, string][];
  invocationId: string;
  idempotencyKey: string;
}

export interface OperationResult {
  status: number;
  body: Uint8Array;
  headers: [string, string[]][];
}

declare module "gestalt:provider/app@0.4.0" {
  /** Throws an `Error` whose `payload` is an `RpcError`. */
  export function invoke(context: Context, request: object): OperationResult;
}
