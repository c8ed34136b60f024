-- The plain ending of one known job, and the take of the next, if it is a plain one in a plain queue: what a worker with one job at
-- a time asks for. It decides before it writes: nothing is changed if it gives nothing, and then the general way does it.
-- Needs shared/fresh.
local function lone_finish()
  local taken_at, demand_at = ARGV[7], 11
  if ARGV[2] ~= '1' or ARGV[3] ~= '1' or ARGV[4] ~= '' or string.byte(taken_at) ~= 43 or not is_lone_demand(demand_at) then
    return
  end
  local prefix, ours = string.sub(KEYS[1], 1, -5), string.sub(KEYS[2], 1, -7)
  local now, id, token, text = ARGV[1], ARGV[9], ARGV[6], ARGV[10]
  local key = prefix .. id
  local lock = key .. ':lock'
  if redis.call('EXISTS', key, prefix .. 'wait') ~= 2 or redis.call('GET', lock) ~= token
    or redis.call('EXISTS', ours .. 'cancels', prefix .. 'stalled', prefix .. 'delayed', prefix .. 'limiter', key .. ':dependencies',
      key .. ':unsuccessful') ~= 0 then
    return
  end
  local kept = kept_if_plain(KEYS[1])
  local job = kept and pop_fresh(prefix)
  if not job then
    return
  end
  if redis.call('LREM', prefix .. 'active', 1, id) == 0 then
    put_back(prefix, job[1])
    return
  end
  redis.call('HSET', key, 'returnvalue', text, 'finishedOn', now, 'atm', '1')
  redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', kept, '*', 'event', 'completed', 'jobId', id, 'returnvalue', text,
    'prev', 'active')
  redis.call('ZADD', prefix .. 'completed', now, id)
  redis.call('DEL', lock)
  start_fresh(prefix, job[1], demand_at)
  if redis.call('HDEL', KEYS[2], id) == 0 then
    keep_fresh_lease(demand_at)
  end
  return { 1, { job, false, false } }
end
