// Calls of one kind are answered in the order in which they were made, as one connection to Redis does it. (Of different
// kinds, BullMQ's own classes take more or fewer steps.)

export async function run(kit) {
  const queue = kit.queue();
  const jobs = await queue.addBulk(Array.from({ length: 60 }, (_, n) => ({ name: 'a', data: { n } })));
  const kinds = {
    add: (_, n) => queue.add('b', { n }),
    progress: job => job.updateProgress(50),
    log: job => job.log('line'),
    data: job => job.updateData({}),
    state: job => job.getState(),
    counts: () => queue.getJobCounts('waiting'),
  };
  for (const [kind, call] of Object.entries(kinds)) {
    for (let round = 0; round < 5; round++) {
      const order = [];
      await Promise.all(jobs.map((job, n) => call(job, n).then(() => order.push(n))));
      kit.note(`${kind}, ${round}: first out of order`, order.findIndex((n, at) => n !== at));
    }
  }
}
