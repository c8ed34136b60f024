import { ConnectionClosedError, UnrecoverableError } from 'bullmq';

import type { WireError } from './protocol.js';

/** An error of the engine with BullMQ's own class, text and numeric code: programs match all three. */
export function fromWire(error: WireError): Error {
  const { name, code } = error.data ?? {};
  const made =
    name === 'UnrecoverableError'
      ? new UnrecoverableError(error.message)
      : name === 'ConnectionClosedError'
        ? new ConnectionClosedError(error.message)
        : new Error(error.message);
  return code === undefined ? made : Object.assign(made, { code });
}

/** For calls on an object that was closed. BullMQ knows the text, and does not report it as a fault. */
export function closed(): Error {
  return new ConnectionClosedError();
}

/**
 * For a call that was sent to an engine which ended before it answered. Of BullMQ's class for a lost connection, so that
 * a worker repeats what it can repeat (finishing a job) by itself; the text is for people.
 */
export function lost(method: string, why: string): Error {
  return new ConnectionClosedError(
    `${method} was not answered: ${why}. It may have been applied: look before you repeat it.`,
  );
}

/** For a call that never left this process, because no engine can be started. */
export function unavailable(method: string, why: string): Error {
  return new ConnectionClosedError(`${method} was not sent, and nothing was changed: ${why}.`);
}
