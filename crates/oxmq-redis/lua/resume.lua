--[[ resume: ends the pause; jobs that BullMQ 5 kept in a list of their own come back, 7,000 in a call.
  KEYS     those that stand for the queue's (shared/keys.lua)
  RETURNS  how many are still in the list of BullMQ 5: call again
  ERRORS   none
  MOVES    none                                             EVENTS resumed, when none is left
  COST     O(K), K = jobs of that list ]]
redis.call('HDEL', q.meta, 'paused')
local left = 0
if redis.call('EXISTS', q.paused) == 1 then
  if redis.call('EXISTS', q.wait) == 0 then
    redis.call('RENAME', q.paused, q.wait)
  else
    local ids = redis.call('LRANGE', q.paused, 0, 6999)
    redis.call('LTRIM', q.paused, #ids, -1)
    call_many('RPUSH', q.wait, ids)
    left = redis.call('LLEN', q.paused)
  end
end
if left > 0 then
  return left
end
if redis.call('EXISTS', q.wait, q.prioritized) > 0 then
  redis.call('ZADD', q.marker, 0, '0')
else
  mark_next_due(q)
end
emit(q, 'resumed')
return 0
