// Which public methods the programs call themselves, as against those that BullMQ's classes call among each other.

import { EventEmitter } from 'node:events';

import { METHODS } from './methods.mjs';

const called = new Set();
let kinds = [];

/** The caller of a wrapped method is the fourth line of a stack. */
const byProgram = () => !/node_modules[\\/]bullmq[\\/]/.test(new Error().stack.split('\n')[3] ?? '');

/** A method that several classes inherit counts for the class that it is called on. */
function note(object, name) {
  const kind = kinds.find(([, Kind]) => object instanceof Kind)?.[0];
  if (kind) called.add(`${kind}.${name}`);
}

function wrap(owner, name) {
  const found = Object.getOwnPropertyDescriptor(owner, name);
  const outer = { ...found };
  for (const part of ['get', 'set', 'value']) {
    const inner = found[part];
    if (typeof inner !== 'function') continue;
    outer[part] = function (...args) {
      if (byProgram()) note(this, name);
      return inner.apply(this, args);
    };
  }
  Object.defineProperty(owner, name, outer);
}

function wrapFixed(Kind, kind, name) {
  const inner = Kind[name];
  Kind[name] = function (...args) {
    if (byProgram()) called.add(`${kind}.${name}`);
    return inner.apply(this, args);
  };
}

/** Throws if a class has a method that nobody listed. */
function checkList(Kind, { instance, hidden }) {
  const listed = new Set(['constructor', ...instance, ...hidden]);
  for (
    let owner = Kind.prototype;
    owner !== EventEmitter.prototype && owner !== Object.prototype;
    owner = Object.getPrototypeOf(owner)
  ) {
    const news = Object.getOwnPropertyNames(owner).filter(name => !listed.has(name));
    if (news.length) throw new Error(`${Kind.name} has ${news.join(', ')}, which methods.mjs does not list`);
  }
}

/** Notes each call of a listed method from now on. */
export function watch(bullmq) {
  for (const [kind, lists] of Object.entries(METHODS)) checkList(bullmq[kind], lists);
  kinds = Object.keys(METHODS).map(kind => [kind, bullmq[kind]]);
  const wrapped = new Map();
  for (const [kind, { instance, fixed = [] }] of Object.entries(METHODS)) {
    for (const name of fixed) wrapFixed(bullmq[kind], kind, name);
    for (const name of instance) {
      let owner = bullmq[kind].prototype;
      while (owner && !Object.hasOwn(owner, name)) owner = Object.getPrototypeOf(owner);
      if (!owner || owner === Object.prototype) throw new Error(`${kind} has no ${name}`);
      const names = wrapped.get(owner) ?? new Set();
      wrapped.set(owner, names);
      if (!names.has(name)) wrap(owner, name);
      names.add(name);
    }
  }
}

/** What was called so far, and what of the list was not. */
export function coverage() {
  const all = Object.entries(METHODS).flatMap(([kind, { instance, fixed = [] }]) =>
    [...fixed, ...instance].map(name => `${kind}.${name}`),
  );
  return { called: [...called].sort(), missing: all.filter(name => !called.has(name)) };
}
