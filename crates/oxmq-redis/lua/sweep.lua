--[[ sweep: removes a step of the finished jobs that were kept for an age which is over.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  the most to remove
  RETURNS  {how many, 1 if there are more}
  ERRORS   none
  MOVES    completed, failed -> (none); waiting-children -> waiting, prioritized, delayed (parents)
  EVENTS   waiting, delayed (parents)
  COST     O(K log N), K = jobs removed ]]
local limit = tonumber(ARGV[2])
local removed, looked = {}, 0
local over = redis.call('ZRANGEBYSCORE', q.expiry, '-inf', '(' .. ARGV[1], 'LIMIT', 0, 1000)
local gone = {}
for _, entry in ipairs(over) do
  if #removed >= limit then
    break
  end
  gone[#gone + 1] = entry
  local set, finished, id = string.match(entry, '^(%a+) (%-?%d+) (.*)$')
  -- A job that was retried, or removed, since then is not meant.
  if set and tonumber(redis.call('ZSCORE', q[set], id) or nil) == tonumber(finished) then
    redis.call('ZREM', q[set], id)
    removed[#removed + 1] = id
  end
end
if #gone > 0 then
  call_many('ZREM', q.expiry, gone)
end
delete_jobs(q, removed, tonumber(ARGV[1]), true)
local more = redis.call('ZCOUNT', q.expiry, '-inf', '(' .. ARGV[1]) > 0
return { #removed, more and 1 or 0 }
