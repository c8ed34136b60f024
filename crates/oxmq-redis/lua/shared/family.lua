-- Parents and children, which may be in other queues of the same slot. Needs shared/queue, shared/job, shared/place.

-- The queues that were met, by their base `P:Q:`.
local families = { [q.base] = q }

-- The names of the keys of the queue with this base.
local function family_of(base)
  local p = families[base]
  if not p then
    local prefix, name = string.match(base, '^(.*):([^:]*):$')
    local own = (prefix or '') .. '::oxmq:' .. (name or '') .. ':'
    p = {
      base = base, meta = base .. 'meta', id = base .. 'id', wait = base .. 'wait', paused = base .. 'paused',
      active = base .. 'active', prioritized = base .. 'prioritized', pc = base .. 'pc', delayed = base .. 'delayed',
      completed = base .. 'completed', failed = base .. 'failed', waiting_children = base .. 'waiting-children',
      marker = base .. 'marker', events = base .. 'events', leases = own .. 'leases', cancels = own .. 'cancels',
    }
    families[base] = p
  end
  return p
end

-- Splits a job's key `P:Q:id` into its queue and the id, which may have two colons. A queue is there if it has settings.
local function family_at(key)
  local base, id = string.match(key, '^(.*:)([^:]*)$')
  if not families[base] and redis.call('EXISTS', base .. 'meta') == 0 then
    local upper, long = string.match(key, '^(.*:)([^:]*:[^:]*:[^:]*)$')
    if upper and (families[upper] or redis.call('EXISTS', upper .. 'meta') == 1) then
      base, id = upper, long
    end
  end
  return family_of(base), id
end

-- Puts a parent that left its state to those that run, by its delay and priority. One that is to fail has no delay.
local function run_parent(p, id, now)
  local key = p.base .. id
  local job = redis.call('HMGET', key, 'delay', 'priority', 'defa')
  local delay, priority = tonumber(job[1]) or 0, tonumber(job[2]) or 0
  if delay > 0 and not job[3] then
    redis.call('ZADD', p.delayed, delayed_score(p, now + delay), id)
    emit(p, 'delayed', 'jobId', id, 'delay', string.format('%.0f', now + delay))
    mark_next_due(p)
    return
  end
  if delay > 0 then
    redis.call('HSET', key, 'delay', 0)
  end
  push_waiting(p, id, priority, priority == 0)
  read_settings(p)
  wake(p)
  emit(p, 'waiting', 'jobId', id, 'prev', 'waiting-children')
end

-- Lets a parent run that waits for its children, if it does.
local function release_parent(p, id, now)
  if redis.call('EXISTS', p.base .. id) == 1 and redis.call('ZREM', p.waiting_children, id) == 1 then
    run_parent(p, id, now)
  end
end

-- The same, if no child is left to wait for.
local function release_if_free(p, id, now)
  if redis.call('EXISTS', p.base .. id .. ':dependencies') == 0 then
    release_parent(p, id, now)
  end
end
