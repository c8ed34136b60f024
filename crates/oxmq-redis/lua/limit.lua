--[[ limit: sets one limit of the queue, or lifts it.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  which: 'until' | 'concurrency' | 'rate'
  ARGV[3]  until then, ms; or the most active jobs; or the most takes in a window; '' lifts the limit
  ARGV[4]  of a rate: the window, ms
  RETURNS  nothing
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(1) ]]
events_kept(q)
if ARGV[2] == 'concurrency' then
  if ARGV[3] == '' then
    redis.call('HDEL', q.meta, 'concurrency')
  else
    redis.call('HSET', q.meta, 'concurrency', ARGV[3])
  end
elseif ARGV[2] == 'rate' then
  if ARGV[3] == '' then
    redis.call('HDEL', q.meta, 'max', 'duration')
  else
    redis.call('HSET', q.meta, 'max', ARGV[3], 'duration', ARGV[4])
  end
else
  local ends = tonumber(ARGV[3])
  if ends and ends > tonumber(ARGV[1]) then
    local ms = ends - tonumber(ARGV[1])
    redis.call('SET', q.limiter, '9007199254740991', 'PX', ms)
    redis.call('SET', q.limited, ARGV[3], 'PX', ms)
    return
  end
  redis.call('DEL', q.limiter, q.limited)
end
if redis.call('EXISTS', q.wait, q.prioritized) > 0 then
  read_settings(q)
  wake(q)
end
