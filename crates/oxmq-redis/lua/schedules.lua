--[[ schedules: a page of the schedules, by slot.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  how many to pass over
  ARGV[2]  the most to give
  ARGV[3]  'asc' (the one that is due next comes first) | 'desc'
  RETURNS  {how many there are in all, views as in shared/schedule_view.lua ..}
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(log N + limit) ]]
local from, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local all = q.base .. 'repeat'
local answer = { redis.call('ZCARD', all) }
if limit > 0 then
  local to = from + limit - 1
  local found
  if ARGV[3] == 'asc' then
    found = redis.call('ZRANGE', all, from, to, 'WITHSCORES')
  else
    found = redis.call('ZREVRANGE', all, from, to, 'WITHSCORES')
  end
  for i = 1, #found, 2 do
    answer[#answer + 1] = view_schedule(q, found[i], found[i + 1])
  end
end
return answer
