--[[ announce: tells that a worker is there, or gone.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  for how long, ms; 0: it is gone
  ARGV[3]  the worker's id
  ARGV[4]  what it says of itself (JSON)
  RETURNS  {the library that made the queue, or false; how many jobs BullMQ 5 left in `paused`}
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(W), W = workers of the queue ]]
local now, ttl = tonumber(ARGV[1]), tonumber(ARGV[2])
if ttl == 0 then
  redis.call('HDEL', q.workers, ARGV[3])
  return { false, 0 }
end
local all = redis.call('HGETALL', q.workers)
for i = 1, #all, 2 do
  local ends = tonumber(string.match(all[i + 1], '^(%-?%d+) '))
  if not ends or ends <= now then
    redis.call('HDEL', q.workers, all[i])
  end
end
events_kept(q)
redis.call('HSET', q.workers, ARGV[3], string.format('%.0f', now + ttl) .. ' ' .. ARGV[4])
redis.call('PEXPIRE', q.workers, 3600000 + ttl)
return { redis.call('HGET', q.meta, 'version'), redis.call('LLEN', q.paused) }
