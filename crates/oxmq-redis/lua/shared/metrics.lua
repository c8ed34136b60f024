-- What is counted of the jobs that end. Needs shared/job.

-- Counts jobs that ended ('completed' | 'failed') at `now`: one point per minute, the newest `kept` of them. The minute
-- that runs becomes a point when a job ends in a later one.
local function count_ended(q, kind, many, kept, now)
  local key = q.base .. 'metrics:' .. kind
  local before = redis.call('HINCRBY', key, 'count', many) - many
  local prev = redis.call('HMGET', key, 'prevTS', 'prevCount')
  local prev_at = tonumber(prev[1] or nil)
  if not prev_at then
    redis.call('HSET', key, 'prevTS', string.format('%.0f', now), 'prevCount', 0)
    return
  end
  local passed = math.min(math.floor(now / 60000) - math.floor(prev_at / 60000), kept)
  if passed > 0 then
    local points = { string.format('%.0f', before - (tonumber(prev[2] or nil) or 0)) }
    for i = 2, passed do
      points[i] = '0'
    end
    call_many('LPUSH', key .. ':data', points)
    redis.call('LTRIM', key .. ':data', 0, kept - 1)
    redis.call('HSET', key, 'prevCount', string.format('%.0f', before), 'prevTS', string.format('%.0f', now))
  end
end
