-- The add of one job to be done now, without a priority, an own id or a deduplication, to a queue without a limit. It decides before
-- it writes: nothing is changed if it gives nothing, and then the general way does it.
local function lone_add()
  if ARGV[1] ~= '1' or ARGV[6] ~= '' or ARGV[9] ~= '0' or ARGV[10] ~= '0' or ARGV[12] ~= '' then
    return
  end
  local settings = redis.call('HMGET', KEYS[1], 'paused', 'concurrency', 'opts.maxLenEvents')
  local kept, is_lifo = settings[3], ARGV[11] == '1'
  if settings[2] or not kept then
    return
  end
  local prefix = string.sub(KEYS[1], 1, -5)
  local events = prefix .. 'events'
  local id = string.format('%.0f', redis.call('INCR', prefix .. 'id'))
  redis.call('HSET', prefix .. id, 'name', ARGV[4], 'data', ARGV[5], 'opts', ARGV[7], 'timestamp', ARGV[8], 'delay', '0',
    'priority', '0')
  redis.call('XADD', events, '*', 'event', 'added', 'jobId', id, 'name', ARGV[4])
  redis.call('XADD', events, 'MAXLEN', '~', kept, '*', 'event', 'waiting', 'jobId', id)
  redis.call(is_lifo and 'RPUSH' or 'LPUSH', prefix .. 'wait', id)
  if not settings[1] then
    redis.call('ZADD', prefix .. 'marker', '0', '0')
  end
  return { id, 'waiting' }
end
