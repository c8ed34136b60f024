--[[ trim_events: lets go of old events, in whole blocks.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  how many are kept at least
  ARGV[2]  '1' if that many are kept from now on
  RETURNS  how many went
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(N), N = events that go ]]
if ARGV[2] == '1' then
  redis.call('HSET', q.meta, 'opts.maxLenEvents', ARGV[1])
end
return redis.call('XTRIM', q.events, 'MAXLEN', '~', ARGV[1])
