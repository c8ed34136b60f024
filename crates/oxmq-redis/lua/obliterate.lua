--[[ obliterate: removes a step of everything of the queue; in the end the queue itself.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  '1': active jobs too
  ARGV[2]  the most jobs to remove
  ARGV[3]  now ms
  RETURNS  {how many, 1 if there are more}; {-2}: jobs are active
  ERRORS   none
  MOVES    any -> (none); waiting-children -> waiting, prioritized, delayed (parents in other queues)
  EVENTS   paused, unless it was; waiting, delayed (parents)
  COST     O(K log N), K = jobs removed ]]
if redis.call('HGET', q.meta, 'paused') == false then
  redis.call('HSET', q.meta, 'paused', 1)
  redis.call('DEL', q.marker)
  emit(q, 'paused')
end
if ARGV[1] ~= '1' and redis.call('LLEN', q.active) > 0 then
  return { -2 }
end
local limit = tonumber(ARGV[2])
local left = limit
local now = tonumber(ARGV[3])

-- Removes up to `left` jobs of a sorted set.
local function empty_set(set)
  if left > 0 then
    local ids = redis.call('ZRANGE', set, 0, left - 1)
    if #ids > 0 then
      call_many('ZREM', set, ids)
    end
    delete_jobs(q, ids, now)
    left = left - #ids
  end
end

-- First those that wait for children: none of them is to be released.
empty_set(q.waiting_children)
for _, list in ipairs({ q.active, q.wait, q.paused }) do
  if left > 0 then
    local ids = redis.call('RPOP', list, left) or {}
    delete_jobs(q, ids, now)
    if list == q.active then
      for _, id in ipairs(ids) do
        redis.call('DEL', q.base .. id .. ':lock')
      end
    end
    left = left - #ids
  end
end
local sets = { q.delayed, q.completed, q.prioritized, q.failed }
for _, set in ipairs(sets) do
  empty_set(set)
end
local more = redis.call('EXISTS', q.active, q.wait, q.paused, q.waiting_children, unpack(sets)) > 0
if not more then
  for _, id in ipairs(redis.call('ZRANGE', q.base .. 'repeat', 0, -1)) do
    redis.call('UNLINK', q.base .. 'repeat:' .. id)
  end
  local metrics = q.base .. 'metrics:'
  redis.call('UNLINK', q.events, q.stalled_check, q.stalled, q.id, q.pc, q.marker, q.meta, q.limiter,
    q.base .. 'delay', q.base .. 'priority', q.base .. 'repeat', q.leases, q.cancels, q.expiry, q.workers, q.limited,
    metrics .. 'completed', metrics .. 'completed:data', metrics .. 'failed', metrics .. 'failed:data')
end
return { limit - left, more and 1 or 0 }
