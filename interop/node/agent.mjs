// One Node process that does with BullMQ what it is told: JSON lines on stdin, one answer for each on stdout, with its
// id; and unsolicited lines `{of, event, ..}` for what happens meanwhile.
//
//   {id, do: 'new', as, kind: 'Queue' | 'Worker' | 'QueueEvents' | 'FlowProducer', queue, options, version: 6 | 5}
//                                                  with `telemetry: true` among the options, its spans are kept
//   {id, do: 'call', on, method, args}             a method of such an object
//   {id, do: 'job', on, job, method, args}         a method of a job that the queue `on` finds; without one, its getters
//   {id, do: 'wait', on, job, events, ttl}         job.waitUntilFinished
//   {id, do: 'open', gate}                         lets go the jobs that hold at a gate
//   {id, do: 'spans', trace}                       the spans of a trace that have ended here
//   {id, do: 'close', on, args}                    closes an object and forgets it
//
// Answers: {id, ok} or {id, error: {name, message, code}}. It ends when stdin does.

import { createInterface } from 'node:readline';

import { connection } from './connect.mjs';
import { gates } from './gates.mjs';
import { plain, revive } from './plain.mjs';
import { processors } from './processors.mjs';

// Stacks show where a processor failed, nothing of the library.
Error.stackTraceLimit = 1;

const LIBRARIES = { 5: 'bullmq5', 6: 'bullmq' };
const WORKER_EVENTS = ['active', 'completed', 'failed', 'stalled', 'drained', 'error', 'lockRenewalFailed'];

const write = line => process.stdout.write(JSON.stringify(line) + '\n');
const objects = new Map();
// Only where it is asked for: it is set up for the whole process.
const telemetry = () => import('./telemetry.mjs');

const find = name => {
  const found = objects.get(name);
  if (!found) throw new Error(`agent: there is no ${name}`);
  return found;
};

/** Tells every event that a QueueEvents emits, in order; not those it emits again for each job. */
function tellAll(name, events) {
  const emit = events.emit.bind(events);
  events.emit = (event, ...args) => {
    const own = event.includes(':') || ['newListener', 'removeListener', 'error', 'ready', 'closing', 'closed', 'agent-hello'].includes(event);
    if (!own) {
      const [fields, id] = args.length === 1 ? [{}, args[0]] : args;
      write({ of: name, event, fields: plain(fields), id });
    }
    return emit(event, ...args);
  };
}

async function make({ as, kind, queue, options = {}, version = 6 }) {
  const library = await import(LIBRARIES[version]);
  const settings = { ...revive(options), connection: { ...connection } };
  if (settings.telemetry) settings.telemetry = (await telemetry()).option();
  const { strategy, processor = true, ...rest } = settings;
  const tell = event => write({ of: as, ...event });
  let made;
  if (kind === 'Worker') {
    // By name: waits `strategy` ms, -1 gives up.
    if (strategy !== undefined) rest.settings = { backoffStrategy: () => strategy };
    const queueOf = () => made.__queue ??= new library.Queue(queue, { prefix: rest.prefix, connection: { ...connection } });
    made = new library.Worker(queue, processor ? processors({ tell, library, queueOf }) : null, rest);
    for (const event of WORKER_EVENTS) made.on(event, (...args) => tell({ event, args: args.map(plain) }));
    if (rest.autorun === false) await made.waitUntilReady();
    else if (processor) await made.waitUntilReady();
  } else if (kind === 'FlowProducer') {
    made = new library.FlowProducer(rest);
    await made.waitUntilReady();
  } else {
    made = new library[kind](queue, rest);
    made.on('error', error => tell({ event: 'error', args: [plain(error)] }));
    if (kind === 'QueueEvents') tellAll(as, made);
    await made.waitUntilReady();
    if (kind === 'QueueEvents') {
      // It has begun to read when it hears of an event of our own.
      const heard = new Promise(resolve => made.once(`agent-hello`, resolve));
      const queueEvents = new library.QueueEventsProducer(queue, rest);
      const again = setInterval(() => queueEvents.publishEvent({ eventName: 'agent-hello' }), 20);
      await heard;
      clearInterval(again);
      await queueEvents.close();
    }
  }
  objects.set(as, made);
}

async function jobOf({ on, job }) {
  const found = await find(on).getJob(job);
  if (!found) throw new Error(`agent: there is no job ${job}`);
  return found;
}

const verbs = {
  new: make,
  call: ({ on, method, args = [] }) => find(on)[method](...revive(args)),
  job: async request => {
    const job = await jobOf(request);
    return request.method ? job[request.method](...revive(request.args ?? [])) : job;
  },
  wait: async request => {
    const job = await jobOf(request);
    const finished = job.waitUntilFinished(find(request.events), request.ttl);
    write({ of: 'process', event: 'waits', job: request.job });
    return finished;
  },
  open: async ({ gate }) => gates.open(gate),
  spans: async ({ trace }) => (await telemetry()).spansOf(trace),
  close: async ({ on, args = [] }) => {
    const object = find(on);
    objects.delete(on);
    await object.close(...args);
    await object.__queue?.close();
  },
};

process.on('unhandledRejection', error => write({ of: 'process', event: 'unhandledRejection', args: [plain(error)] }));
const lines = createInterface({ input: process.stdin });
lines.on('line', async line => {
  const request = JSON.parse(line);
  try {
    write({ id: request.id, ok: plain(await verbs[request.do](request)) });
  } catch (error) {
    write({ id: request.id, error: plain(error instanceof Error ? error : new Error(String(error))) });
  }
});
lines.on('close', () => process.exit(0));
write({ of: 'process', event: 'ready', pid: process.pid });
