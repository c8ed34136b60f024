--[[ drain: removes a step of the jobs that wait.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  '1': delayed ones too
  ARGV[2]  the most to remove
  ARGV[3]  now ms
  RETURNS  {how many, 1 if there are more}
  ERRORS   none
  SPARES   the next runs of schedulers
  MOVES    waiting, prioritized, delayed -> (none); waiting-children -> waiting, prioritized, delayed, (none) (parents)
  EVENTS   waiting, delayed, removed (parents)
  COST     O(K log N), K = jobs removed ]]
local limit = tonumber(ARGV[2])
local left = limit
local now = tonumber(ARGV[3])
local has_schedules = redis.call('EXISTS', q.base .. 'repeat') == 1

-- Takes up to `left` ids out of a list, first those that run first, but no next run of a scheduler.
local function pick_from_list(list)
  if not has_schedules then
    return redis.call('RPOP', list, left) or {}
  end
  local picked, length, at = {}, redis.call('LLEN', list), 0
  while at < length and #picked < left do
    local slice = redis.call('LRANGE', list, math.max(length - at - 500, 0), length - at - 1)
    for i = #slice, 1, -1 do
      if #picked < left and not is_next_run(q, slice[i]) then
        picked[#picked + 1] = slice[i]
      end
    end
    at = at + 500
  end
  for _, id in ipairs(picked) do
    redis.call('LREM', list, -1, id)
  end
  return picked
end

-- The same of a sorted set.
local function pick_from_set(set)
  local picked, at, slice = {}, 0, {}
  repeat
    slice = redis.call('ZRANGE', set, at, at + left - 1)
    for _, id in ipairs(slice) do
      if #picked < left and not (has_schedules and is_next_run(q, id)) then
        picked[#picked + 1] = id
      end
    end
    at = at + left
  until #slice < left or #picked == left
  if #picked > 0 then
    call_many('ZREM', set, picked)
  end
  return picked
end

for _, list in ipairs({ q.wait, q.paused }) do
  if left > 0 then
    local ids = pick_from_list(list)
    delete_jobs(q, ids, now, false, true)
    left = left - #ids
  end
end
local sets = { q.prioritized }
if ARGV[1] == '1' then
  sets[2] = q.delayed
end
for _, set in ipairs(sets) do
  if left > 0 then
    local ids = pick_from_set(set)
    delete_jobs(q, ids, now, false, true)
    left = left - #ids
  end
end
-- With schedulers something may stay for good: there is more if this step was full.
local more = redis.call('EXISTS', q.wait, q.paused, unpack(sets)) > 0 and (left == 0 or not has_schedules)
return { limit - left, more and 1 or 0 }
