--[[ set_meta: sets and removes named fields of the queue.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  how many are set
  ARGV[2..] a name and a value for each; then the names of those that are removed
  RETURNS  {how many are new, how many are gone}
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(F), F = fields ]]
local sets = tonumber(ARGV[1])
local was_paused = redis.call('HEXISTS', q.meta, 'paused') == 1
local added, removed = 0, 0
for i = 2, sets * 2, 2 do
  added = added + redis.call('HSET', q.meta, ARGV[i], ARGV[i + 1])
end
for i = sets * 2 + 2, #ARGV do
  removed = removed + redis.call('HDEL', q.meta, ARGV[i])
end
read_settings(q)
if q.is_paused then
  if not was_paused then
    redis.call('DEL', q.marker)
  end
elseif redis.call('EXISTS', q.wait, q.prioritized) > 0 then
  -- A limit may be wider now, or the pause over.
  wake(q)
elseif was_paused then
  mark_next_due(q)
end
return { added, removed }
