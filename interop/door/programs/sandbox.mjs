// Sandboxed processors: a child process and a thread, talking to their job through the worker.

import { fileURLToPath } from 'node:url';

const FILE = fileURLToPath(new URL('../processors/sandboxed.cjs', import.meta.url));

export async function run(kit) {
  for (const useWorkerThreads of [false, true]) {
    const label = useWorkerThreads ? 'thread' : 'process';
    const queue = kit.queue(label);
    const told = [];
    const worker = kit.worker(label, FILE, { useWorkerThreads, drainDelay: 1 });
    worker.on('completed', (job, value) => told.push(['completed', job.name, value]));
    worker.on('failed', (job, error) => told.push(['failed', job.name, error.name, error.message]));
    worker.on('progress', (job, progress) => told.push(['progress', job.name, progress]));
    for (const name of ['plain', 'talks', 'bad', 'never', 'later', 'parent']) {
      if (name === 'parent') {
        await kit
          .flow()
          .add({
            name,
            queueName: label,
            opts: { jobId: 'P' },
            children: [{ name: 'plain', queueName: label, data: { n: 5 }, opts: { jobId: 'C' } }],
          });
      } else {
        await queue.add(name, { n: 1 }, { attempts: name === 'never' ? 3 : 1 });
      }
      await kit.eventually(`${name} ends in a ${label}`, () =>
        told.some(([what, who]) => what !== 'progress' && who === name),
      );
      kit.note(`${label}: ${name}`, told.splice(0));
    }
    await worker.close();
    kit.note(`${label}: logs`, await queue.getJobLogs('2'));
    kit.note(`${label}: whole`, await kit.whole(queue));
  }
}
