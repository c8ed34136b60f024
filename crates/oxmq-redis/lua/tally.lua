--[[ tally: how many jobs lie in parts of a state.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  'priorities' | 'delayed'
  ARGV[2..] priorities; or one time in ms
  RETURNS  a number for each
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(K log N), K = priorities ]]
local counts = {}
for i = 2, #ARGV do
  local value = tonumber(ARGV[i])
  if ARGV[1] == 'delayed' then
    counts[i - 1] = redis.call('ZCOUNT', q.delayed, '-inf', string.format('(%.0f', value * 4096))
  elseif value == 0 then
    counts[i - 1] = redis.call('LLEN', q.wait) + redis.call('LLEN', q.paused)
  else
    local first = value * 4294967296
    counts[i - 1] = redis.call('ZCOUNT', q.prioritized, string.format('%.0f', first),
      string.format('(%.0f', first + 4294967296))
  end
end
return counts
