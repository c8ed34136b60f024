--[[ limit: gives nothing for a while, or lifts that.
  KEYS     the queue's key list (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  until then, ms; '' lifts the limit
  RETURNS  nothing
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(1) ]]
local ends = tonumber(ARGV[2])
events_kept(q)
if ends and ends > tonumber(ARGV[1]) then
  local ms = ends - tonumber(ARGV[1])
  redis.call('SET', q.limiter, '9007199254740991', 'PX', ms)
  redis.call('SET', q.limited, ARGV[2], 'PX', ms)
else
  redis.call('DEL', q.limiter, q.limited)
  if redis.call('EXISTS', q.wait, q.prioritized) > 0 then
    read_settings(q)
    wake(q)
  end
end
