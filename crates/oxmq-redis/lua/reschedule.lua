--[[ reschedule: changes when a delayed job is due, or the priority of a job.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  id
  ARGV[3]  'delay' | 'priority'
  ARGV[4]  delay ms, or priority
  ARGV[5]  '1': before its equals
  RETURNS  {0}; {-1}: there is no such job; {-3, state}: it is not delayed
  ERRORS   none
  MOVES    delayed -> delayed; waiting, prioritized -> waiting, prioritized       EVENTS delayed
  COST     O(log N), from waiting O(N) ]]
local id = ARGV[2]
local key = q.base .. id
if redis.call('EXISTS', key) == 0 then
  return { -1 }
end
if ARGV[3] == 'delay' then
  if not redis.call('ZSCORE', q.delayed, id) then
    return { -3, state_of(q, id) }
  end
  local due = tonumber(ARGV[1]) + tonumber(ARGV[4])
  local score = delayed_score(q, due)
  redis.call('ZREM', q.delayed, id)
  redis.call('HSET', key, 'delay', ARGV[4])
  redis.call('ZADD', q.delayed, score, id)
  emit_and_trim(q, 'delayed', 'jobId', id, 'delay', string.format('%.0f', due))
  mark_next_due(q)
  return { 0 }
end
local priority = tonumber(ARGV[4])
local waits = redis.call('ZREM', q.prioritized, id) > 0 or redis.call('LREM', q.wait, -1, id) > 0
if waits then
  push_waiting(q, id, priority, ARGV[5] == '1')
  if priority == 0 or ARGV[5] ~= '1' then
    read_settings(q)
    wake(q)
  end
end
redis.call('HSET', key, 'priority', ARGV[4])
return { 0 }
