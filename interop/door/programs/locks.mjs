// Locks of running jobs: renewed while they work, missed when they are lost.

export async function run(kit) {
  const queue = kit.queue();
  const told = [];
  let release;
  const worker = kit.worker(
    'q',
    () =>
      new Promise(resolve => {
        release = resolve;
      }),
    { lockDuration: 3000, lockRenewTime: 300, stalledInterval: 100, drainDelay: 1 },
  );
  worker.on('locksRenewed', ({ count, jobIds }) => told.push(['renewed', count, jobIds]));
  worker.on('stalled', id => told.push(['stalled', id]));
  await queue.add('long', {}, { jobId: 'long' });
  // Longer than its lock lasts, which is renewed each time.
  await kit.eventually('it is renewed often', () => told.filter(([what]) => what === 'renewed').length >= 12);
  kit.note('renewed', told[0]);
  kit.note(
    'only renewed',
    told.every(([what]) => what === 'renewed'),
  );
  kit.note('it works still', await queue.getJobState('long'));
  release('fine');
  await kit.eventually('it ends', async () => (await queue.getJobState('long')) === 'completed');
  await worker.close();
  kit.note('its end', (await queue.getJob('long')).returnvalue);

  const lost = [];
  const careless = kit.worker(
    'q',
    () =>
      new Promise(resolve => {
        release = resolve;
      }),
    { lockDuration: 60, skipLockRenewal: true, skipStalledCheck: true, drainDelay: 1 },
  );
  careless.removeAllListeners('error');
  careless.on('error', error => lost.push(['error', error]));
  careless.on('completed', job => lost.push(['completed', job.id]));
  await queue.add('lost', {}, { jobId: 'lost' });
  await kit.eventually('it works', async () => (await queue.getJobState('lost')) === 'active');
  const thief = kit.worker('q', async () => 'by the thief', { stalledInterval: 50, drainDelay: 1 });
  await kit.eventually('another does it', async () => (await queue.getJobState('lost')) === 'completed');
  release('too late');
  await kit.eventually('the first hears of it', () => lost.length);
  // Once or twice: that depends on who was faster.
  kit.note('what it hears', lost[0]);
  kit.note('whose value counts', (await queue.getJob('lost')).returnvalue);
  await Promise.all([careless.close(true), thief.close()]);
}
