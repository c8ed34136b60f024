--[[ limits: the limits of the queue, and whether it is at one of them.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  RETURNS  {limited until ms or false, the most active jobs or false, the most takes in a window or false, the window
           ms or false, 1 if it is full, 1 if somebody limited it by hand, takes in the window that runs or false, until when that
           runs}
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(1) ]]
read_settings(q)
local meta = redis.call('HMGET', q.meta, 'concurrency', 'max', 'duration')
local now = tonumber(ARGV[1])
local value, ttl = tonumber(redis.call('GET', q.limiter) or nil), redis.call('PTTL', q.limiter)
local by_hand = value ~= nil and value >= BY_HAND
local taken = not by_hand and ttl > 0 and value and string.format('%.0f', value)
return { limited_now(q, now), meta[1], meta[2], meta[3], is_full(q) and 1 or 0, by_hand and 1 or 0, taken or false,
  string.format('%.0f', limited_until(q, now, math.max(ttl, 0))) }
