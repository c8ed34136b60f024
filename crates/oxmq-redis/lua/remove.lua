--[[ remove: removes a job and all that belongs to it, its children, or both, unless somebody holds them.
  KEYS     the queue's key list (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  id
  ARGV[3]  'job' | 'children' (the job with all children) | 'pending' (only the children it waits for)
  ARGV[4]  the most children to remove
  RETURNS  1: done; 0: somebody holds one; -1: there is no such job; -8: it is the current job of a
           schedule, and has not ended; -9: there are more children
  ERRORS   none
  MOVES    any -> (none); waiting-children -> waiting, prioritized, delayed (parents)
  EVENTS   removed (prev its state); waiting, delayed (parents)
  COST     O(K N), K = jobs removed, N = jobs in the list they are in ]]
local now, top_id, scope, most = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local top = q.base .. top_id
if redis.call('EXISTS', top) == 0 and not state_of(q, top_id) then
  return -1
end

local function is_held(p, id)
  if redis.call('EXISTS', p.base .. id .. ':lock') == 1 then
    return true
  end
  local token, ends = holder_of(p, id)
  return token and ends and ends > now and redis.call('LPOS', p.active, id) ~= false
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
    local parent = table.remove(left)
    for _, child in ipairs(redis.call('SMEMBERS', parent .. ':dependencies')) do
      if not seen[child] then
        seen[child] = true
        local p, id = family_at(child)
        if is_held(p, id) then
          return true
        end
        left[#left + 1] = child
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
    for i = #children, 1, -1 do
      local child = children[i]
      if not seen[child] and redis.call('HGET', child, 'parentKey') == parent then
        local p, id = family_at(child)
        if not (pending and (is_held(p, id) or redis.call('ZSCORE', p.failed, id))) then
          seen[child] = true
          left[#left + 1] = child
          found[#found + 1] = { p, id, parent }
        end
      end
    end
    if #found > most then
      return false
    end
  end
  return found
end

local function remove_one(p, id)
  local state = state_of(p, id)
  leave(p, id, state)
  delete_jobs(p, { id }, now)
  redis.call('HDEL', p.leases, id)
  redis.call('HDEL', p.cancels, id)
  if state == 'active' then
    wake_for_place(p)
  end
  emit_and_trim(p, 'removed', 'jobId', id, 'prev', state or 'unknown')
end

local going = {}
if scope ~= 'pending' then
  if is_held(q, top_id) or (scope == 'children' and is_held_below(top)) then
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
for i = #going, 1, -1 do
  local p, id, parent = unpack(going[i])
  -- A parent that goes, too, is not released.
  if parent ~= top or scope == 'children' then
    redis.call('SREM', parent .. ':dependencies', p.base .. id)
  end
  remove_one(p, id)
end
if scope ~= 'pending' then
  remove_one(q, top_id)
else
  call_many('SREM', top .. ':dependencies', gone)
  release_if_free(q, top_id, now)
end
return 1
