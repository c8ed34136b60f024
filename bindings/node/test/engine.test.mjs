// The adapter by itself, against a program that plays the engine: what goes over the pipe, and what is made of failures.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import oxmq from '@oxmq/bullmq';
import { isNotConnectionError, QueueEvents, UnrecoverableError, Worker } from 'bullmq';

import { isAlive, until } from './until.mjs';

const binary = fileURLToPath(new URL('fixtures/engine.mjs', import.meta.url));
let folder;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'oxmq-'));
});
after(() => rmSync(folder, { recursive: true }));

let stores = 0;
const ownUrl = () => `fake::${++stores}`;

/** A backend as BullMQ makes one; `kind` as BullMQ gives it. */
function open(url = ownUrl(), kind = {}, opts = {}) {
  const backend = oxmq({ url, binary })('q', { connection: {}, ...opts }, kind);
  opened.push(backend);
  return backend;
}
/** What a test that failed did not close would keep this program alive. */
const opened = [];
afterEach(() => Promise.all(opened.splice(0).map(backend => backend.disconnect())));
const worker = (url, opts) => open(url, { withBlockingConnection: true }, opts);
const add = (backend, name, data = '{}') => backend.addJob({ name, data, opts: {} }, undefined, {});
/** What the engine that runs now was asked, oldest first. */
const inside = async backend => {
  const { pid, reads, said } = await backend.getQueueMeta();
  return { pid: Number(pid), reads: Number(reads), said: JSON.parse(said) };
};

test('objects of one store share one process, and those of another have their own', async () => {
  const url = ownUrl();
  const [one, two, other] = [open(url), open(url), open()];
  const [first, second, third] = await Promise.all([one, two, other].map(inside));
  assert.equal(first.pid, second.pid);
  assert.notEqual(first.pid, third.pid);
  await one.close();
  assert.equal(await add(two, 'x'), '1', 'the process goes on for who is left');
  await Promise.all([two.close(), other.close()]);
  assert.equal(isAlive(first.pid), false, 'it is gone when the last close returns');
});

test('calls of one turn arrive in order and in one piece', async () => {
  const backend = open();
  await backend.waitUntilReady();
  const before = await inside(backend);
  const ids = await Promise.all(Array.from({ length: 200 }, () => add(backend, 'x')));
  assert.deepEqual(ids, Array.from({ length: 200 }, (_, index) => String(index + 1)));
  const after = await inside(backend);
  // 25 KB of calls: the pipe may cut them, the adapter must not.
  assert.ok(after.reads - before.reads <= 3, `${after.reads - before.reads} reads`);
  await backend.close();
});

test('calls of one object end in the order in which they were made, whatever the engine answers first', async () => {
  const url = ownUrl();
  const [backend, other] = [open(url), open(url)];
  await Promise.all([backend.waitUntilReady(), other.waitUntilReady()]);
  const ended = [];
  const late = add(backend, 'late').then(() => ended.push('late'));
  await add(other, 'x').then(() => ended.push('another object'));
  const second = add(backend, 'late').then(() => ended.push('second'));
  const third = add(backend, 'refused').catch(() => ended.push('third'));
  await Promise.all([late, second, third]);
  assert.deepEqual(ended, ['another object', 'late', 'second', 'third']);
  await Promise.all([backend.close(), other.close()]);
});

test('what was answered before the engine died is done, also behind a call that was not', async () => {
  const backend = open();
  await backend.waitUntilReady();
  const cut = add(backend, 'hold').catch(error => error);
  const done = add(backend, 'x');
  const death = add(backend, 'die').catch(error => error);
  assert.equal(await done, '1');
  assert.match((await cut).message, /may have been applied/);
  assert.match((await death).message, /may have been applied/);
  await backend.close();
});

test('a call carries who asks, which queue is meant, and the time that the program believes in', async t => {
  t.mock.timers.enable({ apis: ['Date'], now: 12_345 });
  const backend = worker(ownUrl(), { prefix: 'p', name: 'w', lockDuration: 30_000, limiter: { max: 1, duration: 2 } });
  await backend.waitUntilReady();
  assert.equal(backend.minimumBlockTimeout, 0.25, 'as the engine said');
  await backend.moveToActive('token');
  await backend.forQueue('other', 'z').getState('7');
  await backend.addJobScheduler('s', undefined, '{}', {}, { every: 5 }, { delay: NaN, jobId: 'x' });
  const { said } = await inside(backend);
  const client = said[0][1].client;
  const here = { client, now: 12_345, queue: 'q', prefix: 'p' };
  assert.deepEqual(said.slice(0, 4), [
    ['open', { ...here, role: 'worker', workerName: 'w' }],
    [
      'moveToActive',
      { ...here, token: 'token', ctx: { name: 'w', lockDuration: 30_000, limiter: { max: 1, duration: 2 } } },
    ],
    ['getState', { ...here, queue: 'other', prefix: 'z', jobId: '7' }],
    [
      'addJobScheduler',
      { ...here, jobSchedulerId: 's', templateData: '{}', templateOpts: {}, opts: { every: 5 }, delayedJobOpts: { jobId: 'x' } },
    ],
  ]);
  await backend.close();
});

test('a program that fakes the clock and stops its timers has an engine all the same, and a new one when that dies', async t => {
  t.mock.timers.enable({ apis: ['Date', 'setImmediate', 'setInterval', 'setTimeout'], now: 1 });
  const backend = open();
  assert.equal(await add(backend, 'x'), '1');
  await assert.rejects(add(backend, 'die'));
  assert.equal(await add(backend, 'x'), '1');
  await backend.close();
});

test('an answer of many megabytes is read', async () => {
  const backend = open();
  const data = 'ü€😀'.repeat(1_000_000);
  assert.equal((await add(backend, 'echo', data)) === data, true);
  await backend.close();
});

test('errors have the class, the text and the code of BullMQ', async () => {
  const backend = open();
  await assert.rejects(add(backend, 'refused'), { message: 'Missing key for parent job bull:q:7. addJob', code: -5 });
  await assert.rejects(add(backend, 'hopeless'), error => error instanceof UnrecoverableError && error.code === -9);
  const cyclic = {};
  cyclic.self = cyclic;
  await assert.rejects(backend.updateData({ id: '1' }, cyclic), TypeError);
  await assert.rejects(backend.updateProgress('1', { big: 1n }), TypeError);
  await backend.close();
});

test('what the engine says on its own account is emitted', async () => {
  const backend = open();
  await backend.waitUntilReady();
  const heard = [];
  backend.on('error', error => heard.push(error.message));
  const client = (await inside(backend)).said[0][1].client;
  await add(backend, 'event', JSON.stringify({ client, event: 'error', error: { code: 1, message: 'gone away' } }));
  assert.deepEqual(heard, ['gone away']);
  await backend.close();
});

test('when the engine dies, what was sent fails and says so, and what was not is sent to the next one', async () => {
  const url = ownUrl();
  const [backend, waiting, looking] = [open(url), worker(url), open(url)];
  const events = [];
  backend.on('ready', () => events.push('ready'));
  backend.on('close', () => events.push('close'));
  backend.on('error', error => events.push(error.message));
  await waiting.setName('named');
  const first = await inside(backend);
  const wait = waiting.waitForJob(10);
  const cut = add(backend, 'hold');
  await until('the engine has both', async () => (await inside(looking)).said.some(([method]) => method === 'waitForJob'));
  const dying = add(backend, 'die');
  await assert.rejects(cut, error => {
    assert.match(error.message, /^addJob was not answered: the oxmq engine \(process \d+\) was ended by SIGKILL\. It may have /);
    return !isNotConnectionError(error);
  });
  await assert.rejects(dying);
  assert.equal(await wait, null, 'a wait just ends');
  // Made while there is no engine.
  assert.equal(await add(backend, 'x'), '1');
  const second = await inside(backend);
  assert.notEqual(second.pid, first.pid);
  const introduced = second.said.filter(([method]) => ['open', 'setName'].includes(method));
  assert.deepEqual(introduced.map(([method, params]) => [method, params.role ?? params.name]).sort(), [
    ['open', 'producer'],
    ['open', 'producer'],
    ['open', 'worker'],
    ['setName', 'named'],
  ]);
  assert.match(events[1], /was ended by SIGKILL; the next one starts in \d+ ms/);
  events[1] = 'error';
  assert.deepEqual(events, ['ready', 'error', 'close', 'ready']);
  await Promise.all([backend.close(), waiting.close()]);
});

test('what a worker does by itself is sent to the next engine, but only once: it may be what kills engines', async () => {
  const backend = worker(ownUrl());
  const asked = name => readFileSync(join(folder, name), 'utf8').split('\n').length - 1;
  assert.deepEqual(await backend.moveToActive(join(folder, 'once'), '1'), [null, 0, 0, 99]);
  assert.equal(asked('once'), 2);
  await assert.rejects(backend.moveToActive(join(folder, 'always'), '9'), /moveToActive was not answered.*may have been applied/);
  assert.equal(asked('always'), 2);
  const producer = open(ownUrl());
  await assert.rejects(producer.moveToActive(join(folder, 'by hand'), '1'), /was not answered/);
  await Promise.all([backend.close(), producer.close()]);
});

test('a store that keeps failing does not make a busy loop, is reported each time, and holds up no close', async t => {
  const factory = oxmq({ url: ownUrl(), binary });
  const objects = [
    new Worker('q', async () => {}, { connection: {}, name: 'full' }, factory),
    new QueueEvents('q', { connection: {} }, factory),
  ];
  t.after(() => Promise.all(objects.map(object => object.close())));
  const start = performance.now();
  const sixth = objects.map(
    object =>
      new Promise(resolve => {
        let told = 0;
        object.on('error', error => {
          told += /the disk is full/.test(error.message);
          if (told === 6) resolve(performance.now() - start);
        });
      }),
  );
  // Pauses of at least 50, 100, 200, 400, 800 and 1600 ms come before it.
  for (const elapsed of await Promise.all(sixth)) assert.ok(elapsed > 3000, `after ${elapsed} ms`);
  const pause = performance.now();
  await Promise.all(objects.map(object => object.close()));
  assert.ok(performance.now() - pause < 2000, 'the pause that was going on is of 2.5 s at least');
});

test('an engine that does not speak the protocol is ended and replaced', async () => {
  const backend = open();
  await assert.rejects(add(backend, 'babble'), /does not speak the protocol/);
  assert.equal(await add(backend, 'x'), '1');
  await backend.close();
});

test('more calls than the engine may have before it all arrive, in order', async () => {
  const backend = open();
  const count = 10_000;
  const ids = await Promise.all(Array.from({ length: count }, () => add(backend, 'x')));
  assert.equal(ids.findIndex((id, index) => id !== String(index + 1)), -1);
  await backend.close();
});

test('an engine has a bounded number of calls before it; the others are not lost with it', async () => {
  const backend = open();
  const { pid } = await inside(backend);
  const failed = [];
  const calls = Array.from({ length: 10_000 }, () => add(backend, 'hold').catch(error => failed.push(error.message)));
  await until('the first are written', () => new Promise(resolve => setImmediate(resolve, true)));
  process.kill(pid, 'SIGKILL');
  await until('the engine is missed', () => failed.length > 0);
  assert.equal(failed.length, 4096);
  assert.match(failed[0], /may have been applied/);
  await backend.close(true);
  await Promise.all(calls);
  assert.deepEqual(new Set(failed.slice(4096)), new Set(['Connection is closed.']));
});

test('calls are refused when too much text waits for an engine', async () => {
  const backend = open('fake:refuse:much');
  const data = 'x'.repeat(100 * 1024 * 1024);
  const calls = Array.from({ length: 3 }, () => add(backend, 'x', data).then(() => 'done', error => error.message));
  assert.match(await calls[2], /calls of more than 256 MiB wait/);
  await backend.close(true);
  assert.deepEqual(await Promise.all(calls.slice(0, 2)), ['Connection is closed.', 'Connection is closed.']);
});

test('a store that cannot be opened fails calls of producers with the words of the engine', async () => {
  const backend = open('fake:refuse');
  const errors = [];
  backend.on('error', error => errors.push(error.message));
  await assert.rejects(add(backend, 'x'), /^ConnectionClosedError: addJob was not sent, and nothing was changed: .*not a database/s);
  await assert.rejects(backend.waitUntilReady(), /not a database/);
  assert.ok(errors.length >= 5);
  await backend.close();
});

test('a program that cannot be run is told', async () => {
  const path = join(folder, 'not-a-program');
  writeFileSync(path, 'no');
  const backend = oxmq({ url: 'fake:', binary: path })('q', { connection: {} });
  await assert.rejects(backend.waitUntilReady(), /could not be started \(spawn .* EACCES\)/);
  await backend.close();
});

test('a worker waits for a store that cannot be opened yet', async () => {
  const flag = join(folder, 'now');
  const backend = worker(`fake:until:${flag}`);
  let failures = 0;
  backend.on('error', () => (failures += 1));
  const call = backend.moveToActive('token');
  await until('it failed more often than a producer would wait', () => failures > 5);
  writeFileSync(flag, '');
  await call;
  await backend.close();
});

test('a worker that stops does not wait for an engine that cannot be started', async () => {
  const backend = worker('fake:refuse:worker');
  const wait = backend.waitForJob(10);
  const call = assert.rejects(backend.moveToActive('token'), /was not sent/);
  await backend.disconnectBlocking(true);
  assert.equal(await wait, null);
  await call;
  await backend.close();
});

test('closing lets calls finish, then refuses others with the text that BullMQ knows', async () => {
  const backend = open();
  assert.equal(backend.closing, undefined);
  const calls = [add(backend, 'x'), add(backend, 'x')];
  const closing = backend.close();
  assert.ok(backend.closing);
  await assert.rejects(add(backend, 'x'), { name: 'ConnectionClosedError', message: 'Connection is closed.' });
  await closing;
  assert.deepEqual(await Promise.all(calls), ['1', '2']);
  await backend.close();
});

test('disconnecting ends what waits at once, and so does a forced close', async () => {
  for (const end of ['disconnect', 'close']) {
    const backend = worker(ownUrl());
    let closed = 0;
    backend.on('close', () => (closed += 1));
    await backend.waitUntilReady();
    const calls = [backend.waitForJob(10), add(backend, 'hold')];
    const refused = calls.map(call => assert.rejects(call, { message: 'Connection is closed.' }));
    await backend[end](true);
    await Promise.all(refused);
    await backend.close();
    assert.equal(closed, 1);
  }
});

test('blocking waits can be switched off, over a restart too', async () => {
  const backend = worker(ownUrl());
  const wait = backend.waitForJob(10);
  await backend.waitUntilReady();
  await backend.disconnectBlocking();
  assert.equal(await wait, null);
  await assert.rejects(add(backend, 'die'));
  const { said } = await inside(backend);
  assert.deepEqual(said.map(([method]) => method).slice(0, 2), ['open', 'disconnectBlocking']);
  await backend.close();
});

test('an engine that does not end when its input does is killed', async () => {
  const backend = open('fake:stubborn');
  const { pid } = await inside(backend);
  await backend.close();
  assert.equal(isAlive(pid), false);
});

test('the engine is told to end, and not killed, when there is time', async () => {
  const diary = join(folder, 'diary');
  const backend = open(`fake:diary:${diary}`);
  await backend.waitUntilReady();
  await backend.close();
  assert.equal(readFileSync(diary, 'utf8'), 'ended\n');
});
