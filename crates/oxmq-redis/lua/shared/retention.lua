-- What is kept of finished jobs. Needs shared/delete.

-- Remembers that a finished job is kept until `ends`, for sweep. `set` is 'completed' or 'failed'.
local function keep_until(q, set, id, finished, ends)
  redis.call('ZADD', q.expiry, ends, set .. ' ' .. string.format('%.0f', finished) .. ' ' .. id)
end

-- Removes what is too old or too many in a set of finished jobs. count, age_ms: nil for no bound.
local function apply_retention(q, set, now, count, age_ms, limit)
  local key = q[set]
  if age_ms then
    local old = redis.call('ZREVRANGEBYSCORE', key, now - age_ms, '-inf', 'LIMIT', 0, limit)
    if #old > 0 then
      delete_jobs(q, old, now, true)
      call_many('ZREM', key, old)
    end
  end
  if count then
    local over = redis.call('ZCARD', key) - count
    while over > 0 do
      local step = math.min(over, 1000)
      local oldest = redis.call('ZRANGE', key, 0, step - 1)
      delete_jobs(q, oldest, now, true)
      call_many('ZREM', key, oldest)
      over = over - step
    end
  end
end
