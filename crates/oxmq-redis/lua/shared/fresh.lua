-- A job as it was added that is the next one in a queue where nothing is special: what lone calls take, as a rule. Names what
-- it needs by itself, as what stands before shared/keys.lua does.

-- What was read of a job, if it is as it was added: name, data, opts, timestamp, priority. Nothing if it was taken before, or has a
-- delay or a tie to others.
local function as_added(job)
  if #job ~= 12 then
    return
  end
  if job[1] == 'name' and job[3] == 'data' and job[5] == 'opts' and job[7] == 'timestamp' and job[9] == 'delay' and job[11] == 'priority' then
    if job[10] == '0' then
      return job[2], job[4], job[6], job[8], job[12]
    end
    return
  end
  -- In another order: a hash with more than 64 bytes in a field has none.
  local f = { name = false, data = false, opts = false, timestamp = false, delay = false, priority = false }
  for i = 1, 11, 2 do
    f[job[i]] = job[i + 1]
  end
  if f.delay == '0' and f.name and f.data and f.opts and f.timestamp and f.priority then
    return f.name, f.data, f.opts, f.timestamp, f.priority
  end
end

-- Whether a demand that begins at `a` is for one job with a lock, whatever the rate.
local function is_lone_demand(a)
  return ARGV[a + 1] == '1' and ARGV[a + 2] ~= '0' and ARGV[a + 5] == ''
end

-- How many events are kept, if the queue is not paused and has no limit; nothing if it has, or if that is not stored yet.
local function kept_if_plain(meta)
  local settings = redis.call('HMGET', meta, 'paused', 'concurrency', 'max', 'opts.maxLenEvents')
  if not settings[1] and not settings[2] and not settings[3] then
    return settings[4] or nil
  end
end

-- Undoes what pop_fresh did.
local function put_back(prefix, id)
  redis.call('LREM', prefix .. 'active', 1, id)
  redis.call('RPUSH', prefix .. 'wait', id)
end

-- Moves the next job to active; {id, then what as_added gives}. Nothing, and nothing is changed, if there is none or it is not as it
-- was added.
local function pop_fresh(prefix)
  local id = redis.call('RPOPLPUSH', prefix .. 'wait', prefix .. 'active')
  if not id then
    return
  end
  local job = { id, as_added(redis.call('HGETALL', prefix .. id)) }
  if job[2] then
    return job
  end
  put_back(prefix, id)
end

-- Writes that a job of pop_fresh's was taken, by the demand that begins at `a`.
local function start_fresh(prefix, id, a)
  local key, now, token, lease_ms, worker = prefix .. id, ARGV[a], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4]
  if worker ~= '' then
    redis.call('HSET', key, 'processedOn', now, 'ats', '1', 'pb', worker)
  else
    redis.call('HSET', key, 'processedOn', now, 'ats', '1')
  end
  redis.call('SET', key .. ':lock', token, 'PX', lease_ms)
  redis.call('XADD', prefix .. 'events', '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
  redis.call('HSET', KEYS[2], id, string.format('%.0f', now + lease_ms) .. ' ' .. token)
  redis.call('ZADD', prefix .. 'marker', '0', '0')
end

-- Keeps the leases for as long as the general way does.
local function keep_fresh_lease(a)
  redis.call('PEXPIRE', KEYS[2], string.format('%.0f', 86400000 + ARGV[a + 3]))
end
