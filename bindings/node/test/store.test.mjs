// BullMQ itself on a file, with the real program `oxmq` (OXMQ_BINARY, or what was built in the repository).
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import oxmq from '@oxmq/bullmq';
import { FlowProducer, Queue, QueueEvents, setDefaultBackendFactory, Worker } from 'bullmq';

import { isAlive, until } from './until.mjs';

const file = name => fileURLToPath(new URL(name, import.meta.url));
let folder;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'oxmq-'));
});
after(() => rmSync(folder, { recursive: true }));

let stores = 0;
const ownUrl = () => `sqlite:${join(folder, `${++stores}.db`)}`;
const connection = {};

/** Closes the objects when the test ends, in this order. */
const closing = (t, ...objects) => t.after(async () => {
  for (const object of objects) await object.close();
});

/** A Node program of its own; `lines` are what it has said. */
function program(...args) {
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = [];
  createInterface({ input: child.stdout }).on('line', line => lines.push(line));
  const ended = new Promise(resolve => child.on('close', (code, signal) => resolve(signal ?? code)));
  return { child, lines, ended };
}

test('the example does its job and ends by itself', async () => {
  const { lines, ended } = program(file('../examples/first.mjs'));
  assert.equal(await ended, 0);
  assert.deepEqual(lines, ['painting a car blue', 'done painting 1']);
});

test('a program that loads the package as CommonJS and as ESM has one engine', async () => {
  const { lines, ended } = program(file('fixtures/mixed.cjs'), ownUrl());
  assert.equal(await ended, 0);
  assert.deepEqual(lines, ['done']);
});

test('the factory is the default of all objects, or the last argument of one', async t => {
  t.after(() => setDefaultBackendFactory());
  setDefaultBackendFactory(oxmq({ url: ownUrl() }));
  const all = [new Queue('q'), new Worker('q', null, { connection }), new QueueEvents('q'), new FlowProducer()];
  const other = new Queue('q', { connection }, oxmq({ url: ownUrl() }));
  closing(t, ...all, other);
  await Promise.all([...all, other].map(object => object.waitUntilReady()));
  const pids = new Set(all.map(object => object.backend.enginePid));
  assert.equal(pids.size, 1);
  assert.equal(pids.has(other.backend.enginePid), false);
  await other.add('only there', {});
  assert.deepEqual([await all[0].count(), await other.count()], [0, 1]);
  await Promise.all(all.map(object => object.close()));
  assert.deepEqual([...pids].filter(isAlive), []);
});

test('a job is retried, reports, logs and returns, and its events are heard', async t => {
  const factory = oxmq({ url: ownUrl() });
  const queue = new Queue('q', { connection }, factory);
  // From the first event on, whenever its first wait begins.
  const events = new QueueEvents('q', { connection, lastEventId: '0' }, factory);
  const progress = [];
  events.on('progress', ({ data }) => progress.push(data));
  const sum = async job => {
    await job.updateProgress({ tries: job.attemptsMade });
    await job.log(`try ${job.attemptsMade}`);
    if (job.attemptsMade === 0) throw new Error('not yet');
    return { sum: job.data.numbers.reduce((sum, number) => sum + number) };
  };
  const worker = new Worker('q', sum, { connection }, factory);
  closing(t, worker, events, queue);
  const job = await queue.add('sum', { numbers: [1, 2, 3] }, { attempts: 2, backoff: 10 });
  assert.deepEqual(await job.waitUntilFinished(events, 20_000), { sum: 6 });
  assert.deepEqual((await queue.getJobLogs(job.id)).logs, ['try 0', 'try 1']);
  await until('both reports were heard', () => progress.length === 2);
  assert.deepEqual(progress, [{ tries: 0 }, { tries: 1 }]);
});

test('a flow over two queues runs its parent last', async t => {
  const factory = oxmq({ url: ownUrl() });
  const flow = new FlowProducer({ connection }, factory);
  const children = new Worker('children', async job => job.data * 2, { connection }, factory);
  let values;
  const collect = async job => void (values = Object.values(await job.getChildrenValues()));
  const parents = new Worker('parents', collect, { connection }, factory);
  closing(t, parents, children, flow);
  const child = data => ({ name: 'child', queueName: 'children', data });
  await flow.add({ name: 'parent', queueName: 'parents', children: [child(1), child(2)] });
  await until('the parent ran', () => values);
  assert.deepEqual(values.sort(), [2, 4]);
});

test('two programs share a file, and an engine ends with its program however that ends', async t => {
  const url = ownUrl();
  const queue = new Queue('shared', { connection }, oxmq({ url }));
  closing(t, queue);
  const [one, two] = [0, 1].map(() => program(file('fixtures/worker.mjs'), url, 'shared'));
  t.after(() => [one, two].forEach(({ child }) => child.kill('SIGKILL')));
  await until('both work', () => one.lines.length > 0 && two.lines.length > 0);
  const jobs = await queue.addBulk(Array.from({ length: 200 }, (_, index) => ({ name: 'x', data: index })));
  const done = () => [...one.lines.slice(1), ...two.lines.slice(1)];
  await until('all jobs are done', () => done().length >= jobs.length);
  assert.deepEqual(new Set(done()), new Set(jobs.map(job => job.id)));
  assert.equal(done().length, jobs.length, 'each was done once');
  const engines = [one, two].map(({ lines }) => Number(lines[0]));
  assert.deepEqual(engines.map(isAlive), [true, true]);
  one.child.kill('SIGKILL');
  two.child.kill('SIGTERM');
  assert.deepEqual(await Promise.all([one.ended, two.ended]), ['SIGKILL', 'SIGTERM']);
  await until('their engines are gone', () => !engines.some(isAlive));
});

test('an engine lives as long as its program: signals that a terminal or a supervisor sends to all do not end it', async t => {
  const queue = new Queue('q', { connection }, oxmq({ url: ownUrl() }));
  closing(t, queue);
  await queue.waitUntilReady();
  const pid = queue.backend.enginePid;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.kill(pid, signal);
    // One after the other, as an engine that is about to end may still answer the first.
    for (let index = 0; index < 20; index += 1) await queue.add('x', {});
  }
  assert.equal(queue.backend.enginePid, pid);
  assert.equal(await queue.count(), 60);
});

test('an engine that is killed under load loses nothing that was acknowledged, and the worker goes on', async t => {
  const factory = oxmq({ url: ownUrl() });
  const queue = new Queue('q', { connection }, factory);
  const done = new Set();
  const leases = { lockDuration: 1000, stalledInterval: 300, maxStalledCount: 50 };
  const worker = new Worker('q', async job => void done.add(job.id), { connection, concurrency: 8, ...leases }, factory);
  closing(t, worker, queue);
  const told = [];
  for (const object of [queue, worker]) object.on('error', error => told.push(error.message));
  await worker.waitUntilReady();

  const acknowledged = [];
  const refused = [];
  let isAdding = true;
  t.after(() => (isAdding = false));
  const producers = Array.from({ length: 4 }, async () => {
    while (isAdding) {
      await queue.add('x', {}).then(
        job => acknowledged.push(job.id),
        error => refused.push(error.message),
      );
    }
  });
  for (let kills = 1; kills <= 3; kills += 1) {
    const enough = acknowledged.length + 200;
    const pid = await until('jobs are added again', () => acknowledged.length >= enough && queue.backend.enginePid);
    process.kill(pid, 'SIGKILL');
    await until('another engine runs', () => ![undefined, pid].includes(queue.backend.enginePid));
  }
  isAdding = false;
  await Promise.all(producers);

  for (const message of refused) {
    assert.match(message, /^addJob was not answered: the oxmq engine \(process \d+\) was ended by SIGKILL.*may have been applied/s);
  }
  assert.ok(told.some(message => /was ended by SIGKILL.*the next one starts in \d+ ms/s.test(message)), told.join('\n'));
  await until('all acknowledged jobs are done', () => acknowledged.every(id => done.has(id)), 60_000);
  const last = await queue.add('x', {});
  await until('a new job is done', () => done.has(last.id));
});

test('workers of all programs are listed as soon as they are ready', async t => {
  const url = ownUrl();
  const factory = oxmq({ url });
  const queue = new Queue('listed', { connection }, factory);
  const worker = new Worker('listed', null, { connection, name: 'here' }, factory);
  closing(t, worker, queue);
  await worker.waitUntilReady();
  assert.deepEqual((await queue.getWorkers()).map(({ name, rawname }) => [name, rawname]), [['listed', 'bull:bGlzdGVk:w:here']]);
  const other = program(file('fixtures/worker.mjs'), url, 'listed');
  t.after(() => other.child.kill('SIGKILL'));
  await until('the other program is listed', async () => (await queue.getWorkersCount()) === 2);
});

test('a file that is deleted under a worker is reported, and neither the worker nor the engine spins', async t => {
  const url = ownUrl();
  const worker = new Worker('q', async () => {}, { connection, drainDelay: 1 }, oxmq({ url }));
  closing(t, worker);
  const told = [];
  worker.on('error', error => told.push(error.message));
  await worker.waitUntilReady();
  for (const end of ['', '-wal', '-shm']) rmSync(url.slice('sqlite:'.length) + end, { force: true });
  const before = performance.now();
  await until('it was reported three times', () => told.length >= 3, 30_000);
  assert.ok(performance.now() - before > 150, 'with pauses of 50 and 100 ms at least');
  assert.match(told[0], /the file was deleted/);
});

test('a store that cannot be opened is told in the words of the engine', async t => {
  const queue = new Queue('q', { connection }, oxmq({ url: `sqlite:${join(folder, 'no/such/folder/jobs.db')}` }));
  closing(t, queue);
  const told = [];
  queue.on('error', error => told.push(error.message));
  await assert.rejects(queue.add('x', {}), /no\/such\/folder/);
  await until('it is an event, too', () => told.some(message => message.includes('no/such/folder')));
});

test('a program without `oxmq` is told where it was looked for', () => {
  const script = "require('@oxmq/bullmq').oxmq({ url: 'sqlite:x.db', binary: 'nowhere/oxmq' })('q', {})";
  const { stderr, status } = spawnSync(process.execPath, ['-e', script], { cwd: file('..'), encoding: 'utf8' });
  assert.equal(status, 1);
  assert.match(stderr, /the option `binary` says nowhere\/oxmq, but there is no program/);
});
