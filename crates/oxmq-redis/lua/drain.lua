--[[ drain: removes a step of the jobs that wait.
  KEYS     the queue's key list (shared/keys.lua)
  ARGV[1]  '1': delayed ones too
  ARGV[2]  the most to remove
  RETURNS  {how many, 1 if there are more}
  ERRORS   none
  MOVES    waiting, prioritized, delayed -> (none)          EVENTS none
  COST     O(K log N), K = jobs removed ]]
local limit = tonumber(ARGV[2])
local left = limit
for _, list in ipairs({ q.wait, q.paused }) do
  if left > 0 then
    local ids = redis.call('RPOP', list, left) or {}
    delete_jobs(q, ids)
    left = left - #ids
  end
end
local sets = { q.prioritized }
if ARGV[1] == '1' then
  sets[2] = q.delayed
end
for _, set in ipairs(sets) do
  if left > 0 then
    local ids = redis.call('ZRANGE', set, 0, left - 1)
    delete_jobs(q, ids)
    if #ids > 0 then
      call_many('ZREM', set, ids)
    end
    left = left - #ids
  end
end
local more = redis.call('EXISTS', q.wait, q.paused, unpack(sets)) > 0
return { limit - left, more and 1 or 0 }
