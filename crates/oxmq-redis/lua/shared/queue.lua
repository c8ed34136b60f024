-- What a queue is set to, and who may be woken.

-- Reads the settings into q: q.is_paused, q.concurrency, q.max, q.duration, q.events_kept (nil if that is not stored yet).
local function read_settings(q)
  local meta = redis.call('HMGET', q.meta, 'paused', 'concurrency', 'max', 'duration', 'opts.maxLenEvents')
  q.is_paused = meta[1] ~= false
  q.concurrency = tonumber(meta[2])
  q.max = tonumber(meta[3])
  q.duration = tonumber(meta[4])
  q.events_kept = meta[5] or nil
end

-- Whether as many jobs are active as the queue allows in all. Needs read_settings.
local function is_full(q)
  return q.concurrency ~= nil and redis.call('LLEN', q.active) >= q.concurrency
end

-- Tells one idle worker that there may be something to take, unless the queue gives nothing now.
-- Needs read_settings.
local function wake(q)
  if not q.is_paused and not is_full(q) then
    redis.call('ZADD', q.marker, 0, '0')
  end
end

-- Tells idle workers when the earliest delayed job is due.
local function mark_next_due(q)
  local first = redis.call('ZRANGE', q.delayed, 0, 0, 'WITHSCORES')
  if first[2] then
    redis.call('ZADD', q.marker, tonumber(first[2]) / 4096, '1')
  end
end

-- When the earliest delayed job is due, as text in ms; false if none is.
local function next_due(q)
  local first = redis.call('ZRANGE', q.delayed, 0, 0, 'WITHSCORES')
  return first[2] and string.format('%.0f', math.floor(tonumber(first[2]) / 4096)) or false
end

-- How many events are kept; stored with the queue when it is not there yet.
local function events_kept(q)
  if not q.events_kept then
    local kept = redis.call('HGET', q.meta, 'opts.maxLenEvents')
    if not kept then
      kept = '10000'
      redis.call('HSET', q.meta, 'opts.maxLenEvents', kept)
    end
    q.events_kept = kept
  end
  return q.events_kept
end

-- Writes an event: a name, then fields and values.
local function emit(q, ...)
  redis.call('XADD', q.events, '*', 'event', ...)
end

-- The same, and lets go of the oldest events.
local function emit_and_trim(q, ...)
  redis.call('XADD', q.events, 'MAXLEN', '~', events_kept(q), '*', 'event', ...)
end

-- The limiter's value when somebody limited the queue by hand.
local BY_HAND = 9007199254740991

-- Until when the queue is limited, in ms: by the client's clock if our own note agrees with the server's.
local function limited_until(q, now, ttl)
  local noted = tonumber(redis.call('GET', q.limited) or nil)
  if noted and math.abs(noted - now - ttl) <= 1000 then
    return noted
  end
  return now + ttl
end

-- Until when nothing is given to anybody, as text in ms; false if the queue is not limited. Needs read_settings.
local function limited_now(q, now)
  local value = tonumber(redis.call('GET', q.limiter) or nil)
  if value and (value >= BY_HAND or (q.max and value >= q.max)) then
    local ttl = redis.call('PTTL', q.limiter)
    if ttl > 0 then
      return string.format('%.0f', limited_until(q, now, ttl))
    end
  end
  return false
end

-- Tells an idle worker, if there is something to take, that a place is free now in a queue that was full.
local function wake_for_place(q)
  read_settings(q)
  if q.concurrency and redis.call('EXISTS', q.wait, q.prioritized) > 0 then
    wake(q)
  end
end
