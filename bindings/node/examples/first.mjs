// BullMQ's first example, on a file. From a fresh clone:
//
//     cargo build --release
//     npm run example --prefix bindings/node
import oxmq from '@oxmq/bullmq';
import { Queue, QueueEvents, setDefaultBackendFactory, Worker } from 'bullmq';

setDefaultBackendFactory(oxmq({ url: 'sqlite:jobs.db' }));

const queueEvents = new QueueEvents('Paint');
await queueEvents.waitUntilReady();

const queue = new Queue('Paint');

const job = await queue.add('cars', { color: 'blue' });

// BullMQ wants workers to have a `connection`; with a backend of its own nobody looks at it.
const worker = new Worker(
  'Paint',
  async job => {
    if (job.name === 'cars') {
      await paintCar(job.data.color);
    }
  },
  { connection: {} },
);

queueEvents.on('completed', ({ jobId }) => {
  console.log('done painting', jobId);
});

queueEvents.on('failed', ({ jobId, failedReason }) => {
  console.error('error painting', jobId, failedReason);
});

async function paintCar(color) {
  console.log('painting a car', color);
}

// A program that serves goes on from here. This one ends: with the last object that is closed, the engine ends, too.
await job.waitUntilFinished(queueEvents, 30_000);
await worker.close();
await queue.close();
await queueEvents.close();
