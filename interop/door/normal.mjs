// What differs from run to run and means nothing: random names, stack frames, the present. Nothing else is changed.

import { realNow } from './clock.mjs';

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const FRAMES = /(?:\\n|\n)\s+at (?:(?!fixture\.js)[^"])*(?="|$)/g;
/** How far from the present a time may be to be taken for a real one, ms. */
const NEAR = 20 * 365 * 86400000;

/** A function that makes values comparable; the same random name becomes the same number in all it is given. */
export function normaliser({ virtual = false, rename = text => text } = {}) {
  const names = new Map();
  const started = realNow();
  const near = n => !virtual && Math.abs(n - started) < NEAR;
  const named = uuid => {
    if (!names.has(uuid)) names.set(uuid, `<uuid ${names.size + 1}>`);
    return names.get(uuid);
  };
  const string = text =>
    rename(
      text
        .replace(FRAMES, ' <frames>')
        .replace(UUID, named)
        .replace(/(?<![\d.])\d{13}(?![\d.])/g, digits => (near(Number(digits)) ? '<now>' : digits)),
    );
  const value = (v, seen = []) => {
    if (typeof v === 'string') return string(v);
    if (typeof v === 'number') return Number.isFinite(v) ? (near(v) ? '<now>' : v) : `<${v}>`;
    if (v === undefined) return '<undefined>';
    if (v === null || typeof v === 'boolean') return v;
    if (typeof v === 'bigint' || typeof v === 'function' || typeof v === 'symbol') return `<${typeof v}>`;
    if (seen.includes(v)) return '<cycle>';
    const inside = [...seen, v];
    if (v instanceof Error) {
      return { error: v.name, message: string(v.message), ...(v.code === undefined ? {} : { code: v.code }) };
    }
    if (Array.isArray(v)) return v.map(item => value(item, inside));
    if (typeof v.toISOString === 'function') return `<date ${value(v.getTime())}>`;
    if (v instanceof Map) return value(Object.fromEntries(v), inside);
    return Object.fromEntries(
      Object.keys(v)
        .sort()
        .map(key => [string(key), value(v[key], inside)]),
    );
  };
  return v => value(v);
}
