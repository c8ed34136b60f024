// Runs programs on one backend and prints what they saw, one line of JSON each:
//
//   node runner.mjs KIND URL [PROGRAM ..]      KIND: redis, door-sqlite, door-memory, door-redis
//
// A program exports `run(kit)`, and `virtual = true` if it moves the clock. Those run one after the other; the others
// beside each other, since they mostly wait.

import { readdir } from 'node:fs/promises';

import { open } from './backends.mjs';
import { fakeDate, realDate, realNow } from './clock.mjs';
import { coverage, watch } from './coverage.mjs';
import { Kit, pause } from './kit.mjs';

/** How many programs run beside each other. */
const TOGETHER = 6;
/** How long a program may take, ms. */
const PATIENCE = 60000;

const [kind, url, ...wanted] = process.argv.slice(2);
const folder = new URL('programs/', import.meta.url);
const names = (await readdir(folder))
  .filter(file => file.endsWith('.mjs'))
  .map(file => file.slice(0, -4))
  .sort();
const print = line => process.stdout.write(`${JSON.stringify(line)}\n`);

const backend = await open(kind, url);
watch(backend.bullmq);

async function run(name, program) {
  const begun = realNow();
  const clock = program.virtual ? fakeDate() : undefined;
  const kit = new Kit(name, backend, clock);
  const late = pause(PATIENCE).then(() => {
    throw new Error(`not at its end after ${PATIENCE} ms; the last note is ${kit.last}`);
  });
  late.catch(() => {});
  try {
    await Promise.race([program.run(kit), late]);
  } catch (error) {
    kit.note('the program failed', `${error.stack}`);
  }
  const notes = await Promise.race([kit.end(), pause(PATIENCE).then(() => [['closing has no end', null]])]);
  if (clock) realDate();
  print({ program: name, notes, ms: realNow() - begun });
}

const programs = [];
for (const name of names.filter(name => !wanted.length || wanted.includes(name))) {
  programs.push([name, await import(new URL(`${name}.mjs`, folder))]);
}
for (const [name, program] of programs.filter(([, { virtual }]) => virtual)) await run(name, program);
const rest = programs.filter(([, { virtual }]) => !virtual);
await Promise.all(
  Array.from({ length: TOGETHER }, async () => {
    for (let next = rest.shift(); next; next = rest.shift()) await run(...next);
  }),
);
print(coverage());
// What a program left open must not keep the others' answers from being compared.
process.exit(0);
