--[[ promote: lets delayed jobs run now.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  id, or '' for the earliest ones
  ARGV[2]  the most to move
  RETURNS  how many; then 1 if there are more; {-1}: there is no such job; {-3, state}: it is in another one
  ERRORS   none
  MOVES    delayed -> waiting, prioritized                  EVENTS waiting (prev delayed)
  COST     O(K log N), K = jobs moved ]]
local ids, more = {}, 0
if ARGV[1] ~= '' then
  if redis.call('ZREM', q.delayed, ARGV[1]) == 0 then
    if redis.call('EXISTS', q.base .. ARGV[1]) == 0 then
      return { -1 }
    end
    return { -3, state_of(q, ARGV[1]) }
  end
  ids[1] = ARGV[1]
else
  local limit = tonumber(ARGV[2])
  ids = redis.call('ZRANGE', q.delayed, 0, limit)
  if #ids > limit then
    ids[#ids] = nil
    more = 1
  end
  if #ids > 0 then
    call_many('ZREM', q.delayed, ids)
  end
end
read_settings(q)
for _, id in ipairs(ids) do
  local key = q.base .. id
  local job = redis.call('HMGET', key, 'priority', 'name')
  push_waiting(q, id, tonumber(job[1]) or 0, false)
  emit_and_trim(q, 'waiting', 'jobId', id, 'prev', 'delayed')
  if job[2] then
    redis.call('HSET', key, 'delay', 0)
  end
end
if #ids > 0 then
  wake(q)
end
return { #ids, more }
