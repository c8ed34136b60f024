-- What the end of a child does to its parent. Needs shared/family and what it needs.

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
      local waited = redis.call('ZREM', p.waiting_children, id) == 1 or redis.call('ZREM', p.delayed, id) == 1
      redis.call('HSET', parent_key, 'defa', 'child ' .. child .. ' failed')
      if waited then
        run_parent(p, id, now)
      end
    end
  elseif flags.cpof then
    redis.call('HSET', parent_key .. ':failed', child, reason)
    release_parent(p, id, now)
  elseif flags.idof then
    redis.call('HSET', parent_key .. ':failed', child, reason)
    release_if_free(p, id, now)
  else
    release_if_free(p, id, now)
  end
end

-- A finished child runs again: its parent waits for it again, and fails for it no more.
local function child_retried(child, parent_key, state, now)
  local was = false
  if state == 'completed' then
    was = redis.call('HDEL', parent_key .. ':processed', child) == 1
  else
    was = redis.call('ZREM', parent_key .. ':unsuccessful', child) == 1
    was = redis.call('HDEL', parent_key .. ':failed', child) == 1 or was
  end
  if not was then
    return
  end
  redis.call('SADD', parent_key .. ':dependencies', child)
  if redis.call('HGET', parent_key, 'defa') ~= 'child ' .. child .. ' failed' then
    return
  end
  local last = redis.call('ZREVRANGE', parent_key .. ':unsuccessful', 0, 0)
  if last[1] then
    redis.call('HSET', parent_key, 'defa', 'child ' .. last[1] .. ' failed')
    return
  end
  redis.call('HDEL', parent_key, 'defa')
  local p, id = family_at(parent_key)
  local prev = redis.call('ZREM', p.prioritized, id) == 1 and 'prioritized'
  if not prev and (redis.call('LREM', p.wait, -1, id) == 1 or redis.call('LREM', p.paused, -1, id) == 1) then
    prev = 'waiting'
  end
  if prev then
    redis.call('ZADD', p.waiting_children, now, id)
    emit(p, 'waiting-children', 'jobId', id, 'prev', prev)
  end
end
