--[[ limits: the limits of the queue, and whether it is at one of them.
  KEYS     the queue's key list (shared/keys.lua)
  ARGV[1]  now ms
  RETURNS  {limited until ms or false, the most active jobs or false, the most takes in a window or false, the window
           ms or false, 1 if it is full}
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(1) ]]
read_settings(q)
local meta = redis.call('HMGET', q.meta, 'concurrency', 'max', 'duration')
return { limited_now(q, tonumber(ARGV[1])), meta[1], meta[2], meta[3], is_full(q) and 1 or 0 }
