// A worker to be killed: the twin of `src/bin/soak_worker.rs`. Tells its errors; ends when stdin does.

import * as library from 'bullmq';
import { createInterface } from 'node:readline';

import { connection } from './connect.mjs';
import { processors } from './processors.mjs';

const settings = JSON.parse(process.argv[2]);
const tell = event => {
  if (settings.tells || event.event === 'error') process.stdout.write(JSON.stringify(event) + '\n');
};
const worker = new library.Worker(settings.queue, processors({ tell, library }), {
  connection,
  concurrency: settings.concurrency,
  lockDuration: settings.lock,
  stalledInterval: settings.stallCheck,
  maxStalledCount: settings.maxStalled,
  drainDelay: settings.stallCheck / 1000,
  runRetryDelay: settings.stallCheck,
  name: 'node',
});
worker.on('error', error => tell({ event: 'error', message: error.message }));
const lines = createInterface({ input: process.stdin });
lines.on('close', async () => {
  await worker.close();
  process.exit(0);
});
