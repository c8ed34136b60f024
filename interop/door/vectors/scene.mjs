// A recorded scenario, played with BullMQ's classes on the backend under test.

import { setTimeout as sleep } from 'node:timers/promises';

import { Redis } from 'ioredis';

import { Kit, boom } from '../kit.mjs';
import { snapshot } from './snapshot.mjs';

/** How far before the present the checks for stalled jobs are told to be, ms: further than any lock of a scenario lasts. */
const LONG_AGO = 1000000;
/** How far the checks are from each other, ms: further than the interval between them. */
const LOOKS_APART = 60000;

/** What steps answered, as the recordings have it. */
function shown(kit, value, form) {
  const { Job } = kit.bullmq;
  const plain = v =>
    v === undefined
      ? null
      : v instanceof Job
        ? { $job: v.id }
        : Array.isArray(v)
          ? v.map(plain)
          : v && typeof v === 'object' && v.constructor === Object
            ? Object.fromEntries(Object.entries(v).map(([key, item]) => [key, plain(item)]))
            : v;
  return form === 'A' ? plain(value) : value;
}

/** Sorts what has no order: children that are removed together, and jobs whose random names decide. */
function ordered(value) {
  if (!value || typeof value !== 'object') return value;
  if (!Array.isArray(value))
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, ordered(item)]));
  const list = value.map(ordered);
  if (list.every(item => typeof item === 'string' && item.includes('<uuid '))) return list.sort();
  for (let from = 0; from < list.length; from++) {
    let to = from;
    while (list[to]?.event === 'removed') to++;
    if (to > from + 1)
      list.splice(from, to - from, ...list.slice(from, to).sort((a, b) => (a.jobId < b.jobId ? -1 : 1)));
    from = Math.max(from, to);
  }
  return list;
}

export class Scene {
  #queues = new Map();
  #checks = 0;
  #client;

  constructor(recording, backend, clock) {
    this.recording = recording;
    this.form = recording.id[0];
    const prefix = `bull${recording.id.replace('-', '')}`;
    // The recordings tell no two random names of part A apart, and no stack of part B.
    const rename =
      this.form === 'A'
        ? text => text.replaceAll(prefix, 'bull').replace(/<uuid \d+>/g, '<uuid>')
        : text => text.replaceAll(prefix, 'bull').replaceAll(' <frames>', '<stack>');
    this.kit = new Kit(recording.id, backend, clock, { prefix, rename, quiet: true });
    this.bullmq = backend.bullmq;
    this.clock = clock;
    this.notes = [];
  }

  /** A queue's name as other jobs refer to it. */
  qualified(name) {
    return `${this.kit.base.prefix}:${name}`;
  }

  async queue(...given) {
    const [name, opts = {}] = typeof given[0] === 'string' ? given : [this.form === 'A' ? 'vec' : 'q', given[0]];
    const queue = this.kit.queue(name, opts);
    await queue.waitUntilReady();
    if (!opts.skipMetasUpdate) await queue.getVersion();
    return queue;
  }
  async worker(...given) {
    let worker;
    if (this.form === 'A') {
      const [opts = {}, processor = null] = given;
      worker = this.kit.worker('vec', processor, { autorun: Boolean(processor), ...opts });
    } else {
      const [name, processor, opts = {}] = given;
      worker = this.kit.worker(name, processor ?? (async job => job.data.ret ?? null), {
        autorun: false,
        skipStalledCheck: true,
        ...opts,
      });
    }
    await worker.waitUntilReady();
    return worker;
  }
  flow(opts) {
    return this.kit.flow(opts);
  }
  take(worker, token) {
    return worker.getNextJob(token, { block: false });
  }
  /** Takes one job and runs it the worker's own way. */
  async runOne(worker, token = 'tok') {
    const job = await this.take(worker, token);
    if (!job) return 'no job';
    await worker.processJob(job, token, () => false);
    return { processed: job.id, state: await job.getState() };
  }

  async #at(now, fn) {
    const present = this.clock.now;
    this.clock.now = now;
    try {
      return await fn();
    } finally {
      this.clock.now = present;
    }
  }
  /** A client of the server, where the store is one; there, time is real, and what it takes away is taken by hand. */
  server() {
    const { server } = this.kit.backend;
    if (server) this.#client ??= new Redis(server);
    return this.#client;
  }
  /** Lets the lock of a job run out. */
  async loseLock(worker, id, token) {
    const server = this.server();
    if (server) {
      // And our own note of it, which lasts longer.
      await server.hdel(`${worker.opts.prefix}::oxmq:${worker.name}:leases`, id);
      return server.del(`${worker.qualifiedName}:${id}:lock`);
    }
    return this.#at(this.clock.now - 2 * LONG_AGO, () => worker.getBackend().extendLock(id, token, 1));
  }
  /** Looks for stalled jobs, whenever the last look was. Where time is the caller's, all looks are long ago. */
  async check(worker, { again = false } = {}) {
    const server = this.server();
    if (server) {
      if (!again) await server.del(`${worker.qualifiedName}:stalled-check`);
      return worker.getBackend().moveStalledJobsToWait();
    }
    if (!again) this.#checks += 1;
    const at = this.clock.now - LONG_AGO + LOOKS_APART * this.#checks;
    return this.#at(at, () => worker.getBackend().moveStalledJobsToWait());
  }

  /** One step: what it answers, what it tells, and what the queues then are. */
  async step(label, fn, { keys = true } = {}) {
    const told = {};
    let value;
    const { now } = this.clock;
    try {
      value = await fn();
      const { Queue, Worker, Job } = this.bullmq;
      const big = value instanceof Queue || value instanceof Worker || (this.form === 'B' && value instanceof Job);
      if (value !== undefined && !big) told.returned = shown(this.kit, value, this.form);
    } catch (error) {
      told.thrown = { error: error.name, message: error.message, code: error.code ?? null };
    }
    const events = {};
    for (const name of this.recording.queues) {
      const list = await this.#events(name);
      if (list.length) events[name] = list;
    }
    await this.note(this.notes.length, label, { now, told, events }, keys);
    return value;
  }
  async #events(qualified) {
    const [prefix, name] = qualified.split(':');
    return this.kit.events(name, prefix === 'bull' ? this.kit.base.prefix : prefix);
  }
  /** What happened between steps is not told. */
  async forgetEvents() {
    for (const name of this.recording.queues) await this.#events(name);
  }
  async note(at, label, { now, told, events }, keys) {
    const seen = {};
    if (keys) {
      for (const qualified of this.recording.queues) {
        seen[qualified] = await snapshot(this.#open(qualified), this.recording.owners[qualified], this.form === 'B');
      }
    }
    this.notes.push([label, ordered(this.kit.normal({ now, told, events }))]);
    this.notes.push([`${label}: queues`, ordered(this.kit.normal(seen))]);
  }
  /** A queue that only looks. */
  #open(qualified) {
    if (!this.#queues.has(qualified)) {
      const [prefix, name] = qualified.split(':');
      const own = prefix === 'bull' ? {} : { prefix };
      this.#queues.set(qualified, this.kit.queue(name, { skipMetasUpdate: true, ...own }));
    }
    return this.#queues.get(qualified);
  }

  async end() {
    this.#client?.disconnect();
    await this.kit.end();
    return this.notes;
  }
}

/** Errors with the same stack on every machine. */
export { boom };

/** What flows answer: their ids. */
export const jobInfo = n => ({ id: n.job.id, ...(n.children ? { children: n.children.map(jobInfo) } : {}) });

/** A processor that fails. */
export const fail = async () => {
  throw new Error('boom');
};

/** Waits until something is so, and then a moment for what must not follow. */
export async function until(condition, patience = 4000) {
  for (let waited = 0; waited < patience && !condition(); waited += 10) await sleep(10);
  await sleep(120);
}
