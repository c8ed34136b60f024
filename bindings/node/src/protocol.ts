/** What goes over the pipe: one JSON-RPC object a line; `oxmq backend` has the other end. */

/** What a BullMQ object is for the engine. Workers and listeners of events have a blocking wait. */
export type Role = 'producer' | 'worker' | 'events';

export interface WireError {
  code: number;
  message: string;
  data?: { name?: string; code?: number };
}

export interface Reply {
  id: number;
  result?: unknown;
  error?: WireError;
}

/** Said by the engine on its own account; `client` is the connection that it concerns. */
export interface Notification {
  method: 'event';
  params: { client: number; event: 'error' | 'close' | 'ready'; error?: WireError };
}

export type Message = Reply | Notification;

export function isReply(message: Message): message is Reply {
  return typeof (message as Reply).id === 'number';
}
