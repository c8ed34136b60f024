// Puts what was recorded back into a database of Redis, step by step, and looks at it.

const LOCK = /:lock$/;

async function put(client, { key, type, rows }) {
  if (type === 'string') await client.set(key, rows[0]);
  if (type === 'list' && rows.length) await client.rpush(key, ...rows);
  if (type === 'set' && rows.length) await client.sadd(key, ...rows);
  if (type === 'zset' && rows.length) await client.zadd(key, ...rows.flatMap(([member, score]) => [score, member]));
  if (type === 'hash' && rows.length) await client.hset(key, ...rows.flat());
}

export async function restore(scene) {
  const client = scene.server();
  scene.kit.base.prefix = 'bull';
  for (const { label, now, told, events, keys } of scene.recording.steps) {
    await client.flushdb();
    for (const entry of keys ?? []) if (!LOCK.test(entry.key)) await put(client, entry);
    scene.clock.now = now;
    await scene.note(0, label, { now, told, events }, Boolean(keys));
  }
}
