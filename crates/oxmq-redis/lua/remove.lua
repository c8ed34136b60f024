--[[ remove: removes a job and all that belongs to it, its children, or both, unless somebody holds them.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  id
  ARGV[3]  'job' | 'children' (the job with all children) | 'pending' (only the children it waits for)
  ARGV[4]  the most children to remove
  RETURNS  1: done; 0: somebody holds one; -1: there is no such job; -8: it is the current job of a
           schedule, and has not ended; -9: there are more children
  ERRORS   none
  MOVES    any -> (none); waiting-children -> waiting, prioritized, delayed (parents)
  EVENTS   removed (prev its state); waiting, delayed (parents)
  COST     O(K log K + N), K = jobs removed, N = jobs in the lists they are in ]]
local now, top_id, scope, most = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local top = q.base .. top_id
if redis.call('EXISTS', top) == 0 and not state_of(q, top_id) then
  return -1
end

-- Whether there is any of the keys that end so, of jobs by their keys.
local function has_any(jobs, from, to, endings)
  local keys = {}
  for i = from, to do
    for _, ending in ipairs(endings) do
      keys[#keys + 1] = jobs[i] .. ending
    end
  end
  return redis.call('EXISTS', unpack(keys)) > 0
end

-- Whether somebody holds a job by a lease of ours, whose lock may be gone.
local function is_leased(p, id)
  if p.has_leases == nil then
    p.has_leases = redis.call('EXISTS', p.leases) == 1
  end
  if not p.has_leases then
    return false
  end
  local token, ends = holder_of(p, id)
  return token and ends and ends > now and redis.call('LPOS', p.active, id) ~= false
end

local function is_locked(p, id)
  return redis.call('EXISTS', p.base .. id .. ':lock') == 1
end

local function has_failed(p, id)
  if p.has_failures == nil then
    p.has_failures = redis.call('EXISTS', p.failed) == 1
  end
  return p.has_failures and redis.call('ZSCORE', p.failed, id)
end

-- The keys of a job's children, in order: all, or those it waits for.
local function children_of(key, pending)
  local keys = redis.call('SMEMBERS', key .. ':dependencies')
  if not pending then
    for _, list in ipairs({
      redis.call('HKEYS', key .. ':processed'), redis.call('HKEYS', key .. ':failed'),
      redis.call('ZRANGE', key .. ':unsuccessful', 0, -1),
    }) do
      for _, child in ipairs(list) do
        keys[#keys + 1] = child
      end
    end
  end
  table.sort(keys)
  return keys
end

-- Whether somebody holds a job that this one waits for, however far below.
local function is_held_below(key)
  local left, seen = { key }, {}
  while #left > 0 do
    local children = {}
    for _, child in ipairs(redis.call('SMEMBERS', table.remove(left) .. ':dependencies')) do
      if not seen[child] then
        seen[child] = true
        children[#children + 1] = child
      end
    end
    for from = 1, #children, 100 do
      local to = math.min(from + 99, #children)
      if has_any(children, from, to, { ':lock' }) then
        return true
      end
      local are_parents = has_any(children, from, to, { ':dependencies' })
      for i = from, to do
        if is_leased(family_at(children[i])) then
          return true
        end
        if are_parents then
          left[#left + 1] = children[i]
        end
      end
    end
  end
  return false
end

-- The jobs below one that have no other parent, parents before their children; false if there are too many.
local function below(pending)
  local found, seen, left = {}, { [top] = true }, { top }
  while #left > 0 do
    local parent = table.remove(left)
    local children = children_of(parent, pending)
    for to = #children, 1, -100 do
      local from = math.max(to - 99, 1)
      local are_parents = has_any(children, from, to, { ':dependencies', ':processed', ':failed', ':unsuccessful' })
      local are_locked = pending and has_any(children, from, to, { ':lock' })
      for i = to, from, -1 do
        local child = children[i]
        if not seen[child] and redis.call('HGET', child, 'parentKey') == parent then
          local p, id = family_at(child)
          local stays = pending and ((are_locked and is_locked(p, id)) or is_leased(p, id) or has_failed(p, id))
          if not stays then
            seen[child] = true
            found[#found + 1] = { p, id, parent }
            if are_parents then
              left[#left + 1] = child
            end
            if #found > most then
              return false
            end
          end
        end
      end
    end
  end
  return found
end

-- Removes the job itself; its parent waits for it no more.
local function remove_top()
  local state = state_of(q, top_id)
  leave(q, top_id, state)
  delete_jobs(q, { top_id }, now)
  redis.call('HDEL', q.leases, top_id)
  redis.call('HDEL', q.cancels, top_id)
  if state == 'active' then
    wake_for_place(q)
  end
  emit_and_trim(q, 'removed', 'jobId', top_id, 'prev', state or 'unknown')
end

-- Takes many jobs out of the lists of their states, which keep the order of what stays. The states by id, as of `state_of`.
local function leave_many(q, ids)
  local states = {}
  if #ids < 8 then
    for _, id in ipairs(ids) do
      states[id] = state_of(q, id)
      leave(q, id, states[id])
    end
    return states
  end
  local left = ids
  for _, state in ipairs({ 'completed', 'failed', 'delayed', 'prioritized', 'waiting-children' }) do
    local set = q[state == 'waiting-children' and 'waiting_children' or state]
    if #left > 0 and redis.call('EXISTS', set) == 1 then
      local found, others = {}, {}
      for from = 1, #left, 1000 do
        local to = math.min(from + 999, #left)
        local scores = redis.call('ZMSCORE', set, unpack(left, from, to))
        for i = from, to do
          local among = scores[i - from + 1] and found or others
          among[#among + 1] = left[i]
          states[left[i]] = scores[i - from + 1] and state
        end
      end
      call_many('ZREM', set, found)
      left = others
    end
  end
  for _, state in ipairs({ 'active', 'wait', 'paused' }) do
    local wanted, missing, places, at = {}, #left, {}, 0
    for _, id in ipairs(left) do
      wanted[id] = true
    end
    while missing > 0 do
      local slice = redis.call('LRANGE', q[state], at, at + 999)
      if #slice == 0 then
        break
      end
      for i, id in ipairs(slice) do
        if wanted[id] then
          wanted[id], missing = nil, missing - 1
          states[id] = state
          places[#places + 1] = at + i - 1
        end
      end
      at = at + 1000
    end
    -- Marked by what cannot be an id, then removed in one pass.
    if #places > 0 then
      for _, place in ipairs(places) do
        redis.call('LSET', q[state], place, ':')
      end
      redis.call('LREM', q[state], #places, ':')
      left = {}
      for id in pairs(wanted) do
        left[#left + 1] = id
      end
    end
  end
  return states
end

-- Removes the jobs below it, children before their parents; a whole queue at once, for each job by itself would be looked
-- up in a list as long as they are many. Of their parents only the job itself can stay, and be released.
local function remove_below(going)
  local queues, ids_of, states_of = {}, {}, {}
  for _, job in ipairs(going) do
    local p = job[1]
    if not ids_of[p] then
      ids_of[p] = {}
      queues[#queues + 1] = p
    end
    table.insert(ids_of[p], job[2])
  end
  for _, p in ipairs(queues) do
    -- This comes first: a server whose memory is full takes no LSET unless something has gone.
    call_many('HDEL', p.leases, ids_of[p])
    call_many('HDEL', p.cancels, ids_of[p])
    states_of[p] = leave_many(p, ids_of[p])
    forget_jobs(p, ids_of[p], false, {})
  end
  for i = #going, 1, -1 do
    local p, id, parent = unpack(going[i])
    local state = states_of[p][id]
    if scope == 'pending' and parent == top and redis.call('SREM', top .. ':dependencies', p.base .. id) == 1 then
      release_if_free(q, top_id, now)
    end
    if state == 'active' then
      p.has_room = true
    end
    emit_and_trim(p, 'removed', 'jobId', id, 'prev', state or 'unknown')
  end
  for _, p in ipairs(queues) do
    if p.has_room then
      wake_for_place(p)
    end
  end
end

local going = {}
if scope ~= 'pending' then
  if is_locked(q, top_id) or is_leased(q, top_id) or (scope == 'children' and is_held_below(top)) then
    return 0
  end
  local state = state_of(q, top_id)
  if state ~= 'completed' and state ~= 'failed' and is_next_run(q, top_id) then
    return -8
  end
end
if scope ~= 'job' then
  going = below(scope == 'pending')
  if not going then
    return -9
  end
end
local gone = {}
if scope == 'pending' then
  for _, child in ipairs(redis.call('SMEMBERS', top .. ':dependencies')) do
    if redis.call('EXISTS', child) == 0 then
      gone[#gone + 1] = child
    end
  end
end
remove_below(going)
if scope ~= 'pending' then
  remove_top()
else
  call_many('SREM', top .. ':dependencies', gone)
  release_if_free(q, top_id, now)
end
return 1
