// Plays the recorded scenarios on one backend, or shows what was recorded, one line of JSON for each:
//
//   node play.mjs KIND URL [SCENARIO ..]      KIND: recorded, redis, door-sqlite, door-memory, door-redis
//
// For `recorded`, URL is a database of Redis that is empty: each recorded key space is put there, and looked at with
// BullMQ's own getters. So both sides are compared by the same eyes.

import { open } from '../backends.mjs';
import { fakeDate, realDate, realNow } from '../clock.mjs';
import { pause } from '../kit.mjs';
import { recordings } from './recording.mjs';
import { restore } from './restore.mjs';
import { Scene } from './scene.mjs';

import { scenarios as adding } from './adding.mjs';
import { scenarios as dedup } from './dedup.mjs';
import { scenarios as families } from './families.mjs';
import { scenarios as flows } from './flows.mjs';
import { scenarios as limits } from './limits.mjs';
import { scenarios as looking } from './looking.mjs';
import { scenarios as metrics } from './metrics.mjs';
import { scenarios as schedules } from './schedules.mjs';
import { scenarios as steering } from './steering.mjs';
import { scenarios as working } from './working.mjs';

/** How long a scenario may take, ms. */
const PATIENCE = 30000;

const [kind, url, ...wanted] = process.argv.slice(2);
const scenarios = {
  ...adding,
  ...dedup,
  ...families,
  ...flows,
  ...limits,
  ...looking,
  ...metrics,
  ...schedules,
  ...steering,
  ...working,
};
const recorded = recordings();
for (const id of recorded.keys()) if (!scenarios[id]) throw new Error(`${id} was recorded, and is not played`);
for (const id of Object.keys(scenarios))
  if (!recorded.has(id)) throw new Error(`${id} is played, and was not recorded`);

const backend = await open(kind, url);

async function play(id) {
  const begun = realNow();
  const clock = fakeDate();
  const scene = new Scene(recorded.get(id), backend, clock);
  const late = pause(PATIENCE).then(() => {
    throw new Error(`not at its end after ${PATIENCE} ms; the last note is ${scene.notes.at(-1)?.[0]}`);
  });
  late.catch(() => {});
  const { random } = Math;
  Math.random = () => 0.5;
  try {
    await Promise.race([kind === 'recorded' ? restore(scene) : scenarios[id](scene), late]);
  } catch (error) {
    scene.notes.push(['the scenario failed', `${error.stack}`]);
  }
  Math.random = random;
  const end = scene.end().then(() => scene.notes);
  const notes = await Promise.race([end, pause(PATIENCE).then(() => [...scene.notes, ['closing has no end', null]])]);
  realDate();
  process.stdout.write(`${JSON.stringify({ program: id, notes, ms: realNow() - begun })}\n`);
}

for (const id of [...recorded.keys()].filter(id => !wanted.length || wanted.includes(id))) await play(id);
process.exit(0);
