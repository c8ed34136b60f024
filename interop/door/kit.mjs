// What a program is given: BullMQ's classes bound to the backend under test, and a list that it writes down what it saw.

import { realNow } from './clock.mjs';
import { normaliser } from './normal.mjs';

/** How long a program waits for something to be so, ms, and how often it looks. */
const PATIENCE = 20000;
const LOOK_EVERY = 5;
/** How many reads of an event stream are made before it must have come to its end. */
const READS_MAX = 200;

/** The real timer, whatever a program does to the clock. */
const timer = setTimeout;
export const pause = ms => new Promise(resolve => timer(resolve, ms));

/** Waits until `condition` is true (or a promise of true). */
export async function eventually(what, condition, patience = PATIENCE) {
  const end = realNow() + patience;
  while (!(await condition())) {
    if (realNow() > end) throw new Error(`it never came: ${what}`);
    await pause(LOOK_EVERY);
  }
}

export class Kit {
  #open = [];
  #notes = [];
  #read = new Map();

  /** `prefix` is that of all queues, each program's own; `quiet` says that errors of objects are not written down. */
  constructor(program, backend, clock, { prefix = `door-${program}`, rename, quiet = false } = {}) {
    this.program = program;
    this.bullmq = backend.bullmq;
    this.backend = backend;
    this.clock = clock;
    this.classes = backend.bullmq.withBackend(backend.factory);
    this.normal = normaliser({ virtual: Boolean(clock), rename });
    this.eventually = eventually;
    this.quiet = quiet;
    /** What is the same for all objects. */
    this.base = { connection: backend.connection, prefix };
  }

  #keep(object, label) {
    object.on('error', error => {
      if (!this.quiet) this.note(`error of ${label}`, error);
    });
    this.#open.push(object);
    return object;
  }
  queue(name = 'q', opts = {}) {
    return this.#keep(new this.classes.Queue(name, { ...this.base, ...opts }), `queue ${name}`);
  }
  /** A worker; without a processor it is driven by hand. */
  worker(name = 'q', processor = null, opts = {}) {
    const quiet = processor === null ? { autorun: false } : {};
    return this.#keep(new this.classes.Worker(name, processor, { ...this.base, ...quiet, ...opts }), `worker ${name}`);
  }
  flow(opts = {}) {
    return this.#keep(new this.classes.FlowProducer({ ...this.base, ...opts }), 'flow producer');
  }
  queueEvents(name = 'q', opts = {}) {
    return this.#keep(new this.classes.QueueEvents(name, { ...this.base, ...opts }), `queue events ${name}`);
  }
  producer(name = 'q', opts = {}) {
    return this.#keep(new this.classes.QueueEventsProducer(name, { ...this.base, ...opts }), `events producer ${name}`);
  }

  /** The label of what was written down last. */
  get last() {
    return this.#notes.at(-1)?.[0];
  }

  /** Writes down what was seen. */
  note(label, value) {
    this.#notes.push([label, this.normal(value)]);
  }
  /** Writes down what `fn` answers or throws, and answers the same (nothing, if it throws). */
  async saw(label, fn) {
    try {
      const value = await fn();
      this.note(label, this.#plain(value));
      return value;
    } catch (error) {
      this.note(label, { thrown: error });
      return undefined;
    }
  }
  #plain(value) {
    if (value instanceof this.bullmq.Job) return this.job(value);
    if (Array.isArray(value)) return value.map(item => this.#plain(item));
    if (value && typeof value === 'object' && value.job instanceof this.bullmq.Job) {
      return {
        job: value.job.id,
        ...(value.children
          ? { children: value.children.map(child => this.#plain(child)).sort((a, b) => (a.job < b.job ? -1 : 1)) }
          : {}),
      };
    }
    return value;
  }
  /** All that a job shows. */
  job(job) {
    if (!job) return job;
    const { data, returnvalue, failedReason, stacktrace, ...rest } = job.toJSON();
    return {
      ...rest,
      data,
      returnvalue,
      failedReason,
      stacktrace,
      deferredFailure: job.deferredFailure,
      processedBy: job.processedBy,
      token: job.token,
      parent: job.parent,
      queue: job.queueQualifiedName,
    };
  }
  /** A whole queue: how many are where, in which order, and each job with all it has. */
  async whole(queue) {
    const states = ['waiting', 'active', 'delayed', 'prioritized', 'waiting-children', 'completed', 'failed'];
    const found = { counts: await queue.getJobCounts() };
    for (const state of states) {
      const jobs = await queue.getJobs([state], 0, -1, true);
      if (!jobs.length) continue;
      // A tree is added in one millisecond, for which Redis sorts by ids.
      if (state === 'waiting-children') jobs.sort((a, b) => (a.id < b.id ? -1 : 1));
      found[state] = jobs.map(job => this.job(job));
    }
    return found;
  }
  /** The events of a queue since the last call, in order, without their ids. */
  async events(name = 'q', prefix = this.base.prefix) {
    const reader = this.#reader(name, prefix);
    const list = [];
    for (let reads = 0; ; reads++) {
      if (reads > READS_MAX) throw new Error(`the events of ${name} have no end`);
      const answer = await reader.backend.readEvents(reader.from, 1);
      const entries = answer?.[0]?.[1] ?? [];
      if (!entries.length) break;
      for (const [id, pairs] of entries) {
        const fields = {};
        for (let i = 0; i < pairs.length; i += 2) fields[pairs[i]] = pairs[i + 1];
        list.push(fields);
        reader.from = id;
      }
    }
    return list;
  }
  #reader(name, prefix) {
    const key = `${prefix}:${name}`;
    if (!this.#read.has(key)) {
      const opts = { ...this.base, prefix };
      const backend = this.backend.factory(name, opts, { blocking: true });
      backend.on('error', () => {});
      this.#read.set(key, { backend, from: '0-0' });
    }
    return this.#read.get(key);
  }
  /** Writes down the events of a queue since the last call. */
  async sawEvents(label = 'events', name = 'q') {
    this.note(label, await this.events(name));
  }

  /** Closes everything, and answers what was written down. */
  async end() {
    for (const { backend } of this.#read.values()) {
      await backend.disconnect().catch(() => {});
      await backend.close(true).catch(() => {});
    }
    for (const object of this.#open.reverse()) {
      object.removeAllListeners('error');
      object.on('error', () => {});
      await object.close(true).catch(() => {});
    }
    return this.#notes;
  }
}

/** An error whose stack is the same on every machine. */
export function boom(message = 'boom', line = 1, Kind = Error) {
  const error = new Kind(message);
  error.stack = `${error.name}: ${message}\n    at step${line} (fixture.js:${line}:1)`;
  return error;
}
