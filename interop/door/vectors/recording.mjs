// Reads what was recorded on Redis with BullMQ 6.7.0. Part A and part B are written in two forms; here they are one:
//
//   { id, queues: ['bull:vec'], owners: { 'bull:vec': ['X'] }, steps: [{ label, now, told, events, keys }] }

import { readdirSync, readFileSync } from 'node:fs';

import { T0 } from '../clock.mjs';
import { LEFT_OUT } from './left-out.mjs';

const DATA = new URL('../../../crates/oxmq-redis/tests/vectors/data/', import.meta.url);
const QUEUE = /^((?:bull|other):[^:]+)/;

/** Part B writes times, and scores made of them, as distances from the start of its clock. */
function untimed(text) {
  return text
    .replace(/<\(T0([+-]\d+)?\)\*4096\+(\d+)>/g, (_, by, more) =>
      String(BigInt(T0 + Number(by ?? 0)) * 4096n + BigInt(more)),
    )
    .replace(/<T0([+-]\d+)?>/g, (_, by) => String(T0 + Number(by ?? 0)))
    .replace(/<uuid:(\d+)>/g, (_, n) => `00000000-0000-4000-8000-${n.padStart(12, '0')}`);
}
const TIME = /^<T0([+-]\d+)?>$/;

/** A value as JavaScript had it: a time alone is a number. */
function plain(value) {
  if (typeof value === 'string') return TIME.test(value) ? Number(untimed(value)) : untimed(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [untimed(key), plain(item)]));
  }
  return value;
}

/** A field of a hash as Redis had it. */
function field(name, value) {
  if (value && typeof value === 'object') return JSON.stringify(plain(value.$json));
  const stacks = /^<json array of (\d+) stack\(s\)>$/.exec(value);
  if (stacks) return JSON.stringify(Array(Number(stacks[1])).fill('<stack>'));
  return untimed(value);
}

function keysOf(keys) {
  return Object.entries(keys).map(([key, entry]) => {
    const { type } = entry;
    const found = entry.value ?? entry.fields ?? entry.items ?? entry.members;
    const rows =
      type === 'hash'
        ? Object.entries(found).map(([name, value]) => [untimed(name), field(name, value)])
        : type === 'zset'
          ? found.map(([member, score]) => [untimed(member), untimed(score)])
          : type === 'string'
            ? [untimed(found)]
            : type === 'stream'
              ? []
              : found.map(untimed);
    return { key: untimed(key), type, rows };
  });
}

function stepOfA(step, base) {
  const told = step.error
    ? { thrown: { error: step.error.name, message: step.error.message, code: step.error.code } }
    : 'returned' in step
      ? { returned: step.returned }
      : {};
  const events = step.events.map(pairs => Object.fromEntries(pairs));
  return {
    label: step.step,
    now: step.now,
    told,
    events: events.length ? { [base]: events } : {},
    keys: step.keys && keysOf(step.keys),
  };
}

function stepOfB(step) {
  const { result } = step;
  const failed = result && typeof result === 'object' && 'error' in result && 'name' in result;
  const told = failed
    ? { thrown: { error: result.name, message: untimed(result.error), code: result.code ?? null } }
    : 'result' in step
      ? { returned: plain(result) }
      : {};
  const events = Object.fromEntries(
    Object.entries(step.events ?? {}).map(([key, list]) => [
      key.replace(/:events$/, ''),
      list.map(event => Object.fromEntries(Object.entries(event).map(([name, value]) => [name, untimed(value)]))),
    ]),
  );
  return { label: step.op, now: Number(untimed(step.at)), told, events, keys: step.keys && keysOf(step.keys) };
}

/** All recordings that can be run, by their id. */
export function recordings() {
  const found = new Map();
  for (const file of readdirSync(DATA).sort()) {
    const document = JSON.parse(readFileSync(new URL(file, DATA), 'utf8'));
    const { id } = document;
    const left = LEFT_OUT[id];
    if (left && !left.steps) continue;
    const base = `${document.prefix ?? 'bull'}:${document.queue ?? 'q'}`;
    const all = document.steps.map(step => (document.clock_start ? stepOfA(step, base) : stepOfB(step)));
    for (const label of left?.steps ?? []) {
      if (!all.some(step => step.label === label))
        throw new Error(`${id} has no step "${label}" that could be left out`);
    }
    const steps = all.filter(({ label }) => !left?.steps.includes(label));
    const queues = new Set(document.queue ? [base] : []);
    const owners = {};
    const keys = steps.flatMap(({ keys, events }) => [...(keys ?? []).map(({ key }) => key), ...Object.keys(events)]);
    for (const key of keys) {
      const queue = QUEUE.exec(key)?.[1];
      if (!queue) continue;
      queues.add(queue);
      const owned = key.startsWith(`${queue}:de:`) ? key.slice(queue.length + 4) : undefined;
      if (owned !== undefined) owners[queue] = [...new Set([...(owners[queue] ?? []), owned])].sort();
    }
    // A name that is split wrongly is none of a queue.
    for (const step of steps)
      step.events = Object.fromEntries(Object.entries(step.events).filter(([queue]) => queues.has(queue)));
    found.set(id, { id, queues: [...queues].sort(), owners, steps });
  }
  return found;
}
