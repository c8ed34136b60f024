// What BullMQ refuses to add, and what it does not.

export const virtual = true;

export async function run(kit) {
  const queue = kit.queue();
  await queue.waitUntilReady();
  const refused = (label, opts, data = {}) => kit.saw(label, async () => (await queue.add('a', data, opts)).id);
  await refused('id of digits', { jobId: '12' });
  await refused('id of digits with a sign', { jobId: '-7' });
  await refused('id with a leading zero', { jobId: '007' });
  await refused('id 0', { jobId: '0' });
  await refused('id that starts as 0', { jobId: '0:x' });
  await refused('one colon', { jobId: 'a:b' });
  await refused('two colons', { jobId: 'a:b:c' });
  await refused('three colons', { jobId: 'a:b:c:d' });
  await refused('fractional priority', { priority: 1.5 });
  await refused('priority too large', { priority: 2097152 });
  await refused('largest priority', { priority: 2097151 });
  await refused('jitter out of range', { backoff: { type: 'fixed', delay: 1, jitter: 2 } });
  await refused('too large', { sizeLimit: 5 }, { long: 'abcdef' });
  await refused('two ways to fail a parent', { failParentOnFailure: true, ignoreDependencyOnFailure: true });
  await refused('debounce of v5', { debounce: { id: 'x' } });
  await refused('deduplication without an id', { deduplication: { id: '' } });
  await refused('parent that is not there', { parent: { id: 'nope', queue: queue.qualifiedName } });
  await refused('parent in another queue that is not there', {
    parent: { id: 'nope', queue: `${kit.base.prefix}:other` },
  });
  await refused('deduplication with a parent', {
    deduplication: { id: 'd' },
    parent: { id: 'nope', queue: queue.qualifiedName },
  });
  await kit.saw('bulk with a parent that is not there', async () =>
    (
      await queue.addBulk([
        { name: 'x', data: 1 },
        { name: 'x', data: 2, opts: { parent: { id: 'nope', queue: queue.qualifiedName } } },
        { name: 'x', data: 3 },
      ])
    ).map(job => job.id),
  );
  for (const name of ['a:b', ''])
    await kit.saw(`queue name "${name}"`, () => {
      kit.queue(name);
    });
  kit.note('whole', await kit.whole(queue));
  await kit.sawEvents();
}
