-- Parents and children, which may be in other queues of the same slot. Needs shared/queue, shared/job, shared/place.

-- Splits a job's key `P:Q:id` into the names of its queue's keys, and the id.
local function family_at(key)
  local base, id = string.match(key, '^(.*:)([^:]*)$')
  return {
    base = base, meta = base .. 'meta', wait = base .. 'wait', active = base .. 'active',
    prioritized = base .. 'prioritized', pc = base .. 'pc', delayed = base .. 'delayed', failed = base .. 'failed',
    waiting_children = base .. 'waiting-children', marker = base .. 'marker', events = base .. 'events',
  }, id
end

-- Puts a parent that left its state to those that run, by its delay and priority.
local function run_parent(p, id, now)
  local job = redis.call('HMGET', p.base .. id, 'delay', 'priority')
  local delay, priority = tonumber(job[1]) or 0, tonumber(job[2]) or 0
  if delay > 0 then
    redis.call('ZADD', p.delayed, (now + delay) * 4096, id)
    emit(p, 'delayed', 'jobId', id, 'delay', string.format('%.0f', now + delay))
    mark_next_due(p)
    return
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

-- A child has completed.
local function child_completed(child, parent_key, value, now)
  if redis.call('SREM', parent_key .. ':dependencies', child) == 1 then
    redis.call('HSET', parent_key .. ':processed', child, value)
    local p, id = family_at(parent_key)
    release_if_free(p, id, now)
  end
end

-- A child has failed for good; what that does to its parent is written with the child.
local function child_failed(child, parent_key, parent, reason, now)
  local read, flags = pcall(cjson.decode, parent or '{}')
  if not read or type(flags) ~= 'table' or not (flags.fpof or flags.cpof or flags.idof or flags.rdof) then
    return
  end
  if redis.call('SREM', parent_key .. ':dependencies', child) == 0 then
    return
  end
  local p, id = family_at(parent_key)
  if flags.fpof then
    redis.call('ZADD', parent_key .. ':unsuccessful', now, child)
    if redis.call('EXISTS', parent_key) == 1 and not redis.call('ZSCORE', p.failed, id) then
      local waited = redis.call('ZREM', p.waiting_children, id) == 1
      if not waited and redis.call('ZREM', p.delayed, id) == 1 then
        redis.call('HSET', parent_key, 'delay', 0)
        waited = true
      end
      redis.call('HSET', parent_key, 'defa', 'child ' .. child .. ' failed')
      if waited then
        run_parent(p, id, now)
      end
    end
  elseif flags.cpof then
    redis.call('HSET', parent_key .. ':failed', child, reason)
    release_parent(p, id, now)
  elseif flags.idof then
    release_if_free(p, id, now)
    redis.call('HSET', parent_key .. ':failed', child, reason)
  else
    release_if_free(p, id, now)
  end
end

-- A child is removed: its parent waits for it no more, and runs if it was the last one.
local function child_removed(child, parent_key)
  if redis.call('SREM', parent_key .. ':dependencies', child) == 0 then
    return
  end
  local p, id = family_at(parent_key)
  if redis.call('EXISTS', parent_key .. ':dependencies') == 0 and redis.call('EXISTS', parent_key) == 1
    and redis.call('ZREM', p.waiting_children, id) == 1 then
    redis.call('RPUSH', p.wait, id)
    read_settings(p)
    wake(p)
    emit(p, 'waiting', 'jobId', id, 'prev', 'waiting-children')
  end
end

-- A finished child runs again: its parent waits for it again.
local function child_retried(child, parent_key, state)
  local was = false
  if state == 'completed' then
    was = redis.call('HDEL', parent_key .. ':processed', child) == 1
  else
    was = redis.call('ZREM', parent_key .. ':unsuccessful', child) == 1
    was = redis.call('HDEL', parent_key .. ':failed', child) == 1 or was
  end
  if was then
    redis.call('SADD', parent_key .. ':dependencies', child)
  end
end
