--[[ counts: how many jobs are in each state, and whether the queue is held.
  KEYS     the queue's key list (shared/keys.lua)
  ARGV[1]  now ms
  RETURNS  {active, completed, delayed, failed, prioritized, waiting, waiting-children, 1 if paused, limited until ms or
           false}
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(1) ]]
read_settings(q)
local now = tonumber(ARGV[1])
local limited = false
local value = tonumber(redis.call('GET', q.limiter) or nil)
if value and (value >= BY_HAND or (q.max and value >= q.max)) then
  local ttl = redis.call('PTTL', q.limiter)
  if ttl > 0 then
    limited = string.format('%.0f', limited_until(q, now, ttl))
  end
end
return {
  redis.call('LLEN', q.active), redis.call('ZCARD', q.completed), redis.call('ZCARD', q.delayed),
  redis.call('ZCARD', q.failed), redis.call('ZCARD', q.prioritized),
  redis.call('LLEN', q.wait) + redis.call('LLEN', q.paused), redis.call('ZCARD', q.waiting_children),
  q.is_paused and 1 or 0, limited,
}
