/**
 * BullMQ on oxmq: a backend factory for `setDefaultBackendFactory`, or for the last argument of `Queue`, `Worker`,
 * `QueueEvents`, `QueueEventsProducer` and `FlowProducer`.
 */
import type { BackendFactory, WorkerOptions } from 'bullmq';

import { OxmqBackend } from './backend.js';
import { findBinary } from './binary.js';
import { Connection } from './connection.js';
import type { Role } from './protocol.js';
import { engineOf } from './registry.js';
import { addressOf } from './scope.js';

export { OxmqBackend };

export interface OxmqOptions {
  /**
   * The store: `sqlite:jobs.db`, a path from the working directory that the program had when `oxmq` was called, or
   * `sqlite:/var/lib/app/jobs.db`.
   */
  url: string;
  /** Path of the program `oxmq`. Default: `OXMQ_BINARY`, the package's `bin`, the repository's build, `PATH`. */
  binary?: string;
}

/** BullMQ's `connection` option: workers must have one, and it is not looked at, because the store is in `oxmq`'s `url`. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type OxmqConnectionOptions = any;

/**
 * Makes the backend factory of one store. The engine starts with the first object and ends with the last one that is closed.
 *
 * Throws if `url` is missing; a BullMQ object's constructor throws if the program `oxmq` is not found.
 *
 * ```ts
 * setDefaultBackendFactory(oxmq({ url: 'sqlite:jobs.db' }));
 * ```
 */
export function oxmq(options: OxmqOptions): BackendFactory<OxmqBackend, OxmqConnectionOptions> {
  const { url, binary } = options ?? {};
  if (typeof url !== 'string' || url === '') {
    throw new TypeError("oxmq needs the URL of a store: oxmq({ url: 'sqlite:jobs.db' })");
  }
  const folder = process.cwd();
  let program: string | undefined;
  return (name, opts, kind) => {
    program ??= findBinary(binary);
    const role: Role = kind?.withBlockingConnection ? 'worker' : kind?.blocking ? 'events' : 'producer';
    const workerName = role === 'worker' ? (opts as WorkerOptions).name : undefined;
    const connection = new Connection(engineOf(program, url, folder), role, addressOf(name, opts), workerName);
    return new OxmqBackend(connection, name, opts);
  };
}

export default oxmq;
