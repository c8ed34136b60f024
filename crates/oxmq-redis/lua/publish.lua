--[[ publish: writes an event of the users' own.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1..] its name, then fields and values
  RETURNS  the event's id
  ERRORS   none
  MOVES    none                                             EVENTS the one given
  COST     O(1) ]]
return redis.call('XADD', q.events, 'MAXLEN', '~', events_kept(q), '*', 'event', unpack(ARGV))
