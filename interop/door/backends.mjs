// The backends that a program can be run on: BullMQ's own, and the door to each of our stores.

import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** Where the npm package of the door is, unless the environment says otherwise. */
const PACKAGE = process.env.OXMQ_DOOR_PACKAGE ?? fileURLToPath(new URL('../../bindings/node', import.meta.url));

/** BullMQ as published. The package finds its peer beside itself, and errors must be of the same classes. */
function bullmqFor(kind) {
  const beside = kind.startsWith('door-') ? `${PACKAGE}/package.json` : import.meta.url;
  const require = createRequire(beside);
  const { version } = require('bullmq/package.json');
  if (version !== '6.7.0') throw new Error(`bullmq is ${version}; the comparison is with 6.7.0`);
  return require('bullmq');
}

/** What BullMQ's own backend is told about its server. Blocking connections need `maxRetriesPerRequest: null`. */
function connectionOf(url) {
  const { hostname, port, pathname } = new URL(url);
  return { host: hostname, port: Number(port), db: Number(pathname.slice(1) || 0), maxRetriesPerRequest: null };
}

/**
 * A backend: `redis` is BullMQ's own, `door-…` the door to the store at `url`.
 * @returns {Promise<{bullmq: object, factory: Function, connection: object, server?: object}>} `server` is where the keys
 * are, if the store is a Redis.
 */
export async function open(kind, url) {
  const bullmq = bullmqFor(kind);
  if (kind === 'redis' || kind === 'recorded') {
    const connection = connectionOf(url);
    return { bullmq, factory: bullmq.createRedisBackend, connection, server: connection };
  }
  const entry = `${PACKAGE}/package.json`;
  if (!existsSync(entry)) throw new Error(`there is no package of the door at ${PACKAGE}`);
  const file = createRequire(entry).resolve(PACKAGE);
  const { default: loaded } = await import(pathToFileURL(file));
  const oxmq = loaded.default ?? loaded;
  return {
    bullmq,
    factory: oxmq({ url }),
    connection: {},
    server: url.startsWith('redis:') ? connectionOf(url) : undefined,
  };
}
