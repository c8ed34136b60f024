--[[ add_flow: creates jobs that wait for each other, in whatever queues of the slot; each group whole or not at all.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  '1': a refused job leaves the others of its group alone
  ARGV[3]  how many groups
  ARGV[4]  how many queues; then the base `P:Q:` of each
  then     how many jobs; then fifteen per job: group, queue (both from 1), own id or '', name, data (JSON), opts (JSON),
           timestamp ms, delay ms, priority, '1' if lifo, '1' if it waits for children, '1' if it is the first of its group,
           parent's key or '', parent (JSON) or '', '' or the deduplication as shared/claim.lua reads it
  RETURNS  {groups, jobs}: three per group: 'added' | 'missing' | 'taken' | 'failed' | 'circle' | 'astray', then which
           job (from 1) was refused, or false, and its id; three per job: id, fate, state as in add.lua, or id, why it was refused, state (false if it is in none)
  ERRORS   none
  MOVES    (none) -> waiting, prioritized, delayed, waiting-children; waiting-children -> waiting, prioritized, delayed
  EVENTS   added, then waiting, delayed or waiting-children; duplicated; waiting, delayed (parents)
  COST     O(K log N), K = jobs; a job whose id exists is looked for in the lists ]]
local now, keeps_rest, group_count = tonumber(ARGV[1]), ARGV[2] == '1', tonumber(ARGV[3])
local queue_count = tonumber(ARGV[4])
local queues = {}
for i = 1, queue_count do
  queues[i] = family_of(ARGV[4 + i])
end
local first = 6 + queue_count
local count = tonumber(ARGV[5 + queue_count])

-- The parents of jobs that are about to be written (false: none), by key: of the groups that were checked, and of the one that is.
local planned, own = {}, {}
local function planned_parent(key)
  local parent = own[key]
  if parent == nil then
    parent = planned[key]
  end
  return parent
end
local function is_there(key)
  return planned_parent(key) ~= nil or redis.call('EXISTS', key) == 1
end
local function parent_of(key)
  local parent = planned_parent(key)
  if parent == nil then
    parent = redis.call('HGET', key, 'parentKey')
  end
  return parent
end

-- Whether a failed job is a child already that its parent knows of.
local function knows_failed(key, current, parent)
  return current == parent and (redis.call('SISMEMBER', parent .. ':dependencies', key) == 1
    or redis.call('HEXISTS', parent .. ':failed', key) == 1
    or redis.call('ZSCORE', parent .. ':unsuccessful', key) ~= false)
end

-- Why a job must not be written, or false.
local function refusal(i)
  local a = first + (i - 1) * 15
  local parent = ARGV[a + 12]
  if ARGV[a + 2] == '' then
    return parent ~= '' and not is_there(parent) and 'missing'
  end
  local p, id = queues[tonumber(ARGV[a + 1])], ARGV[a + 2]
  local key = p.base .. id
  local exists = redis.call('EXISTS', key) == 1
  if exists and not state_of(p, id) then
    return 'astray'
  end
  local current = parent_of(key)
  if ARGV[a + 14] ~= '' then
    -- It may not come to be there.
    return false
  end
  if parent == '' then
    own[key] = current
    return false
  end
  if not is_there(parent) then
    return 'missing'
  end
  if exists or planned_parent(key) ~= nil then
    if current and current ~= parent and is_there(current) then
      return 'taken'
    end
    if redis.call('ZSCORE', p.failed, id) and not knows_failed(key, current, parent) then
      return 'failed'
    end
    local above, seen = parent, {}
    while above and not seen[above] do
      if above == key then
        return 'circle'
      end
      seen[above] = true
      above = parent_of(above)
    end
  end
  own[key] = parent
  return false
end

local groups, answers = {}, {}
for group = 1, group_count do
  groups[group] = { 'added', false, '' }
end
if not keeps_rest then
  local members = {}
  for i = 1, count do
    local group = tonumber(ARGV[first + (i - 1) * 15])
    members[group] = members[group] or {}
    table.insert(members[group], i)
  end
  for group = 1, group_count do
    own = {}
    for _, i in ipairs(members[group] or {}) do
      local why = refusal(i)
      if why then
        groups[group] = { why, i, ARGV[first + (i - 1) * 15 + 2] }
        break
      end
    end
    if groups[group][1] == 'added' then
      for key, parent in pairs(own) do
        planned[key] = parent
      end
    end
  end
end

-- Makes a job that is there somebody's child; false, or why not.
local function attach(p, id, state, parent_key, parent)
  local key = p.base .. id
  local job = redis.call('HMGET', key, 'parentKey', 'returnvalue')
  if job[1] and job[1] ~= parent_key and redis.call('EXISTS', job[1]) == 1 then
    return 'taken'
  end
  if state == 'completed' then
    redis.call('HSET', parent_key .. ':processed', key, job[2] or 'null')
  elseif keeps_rest or state ~= 'failed' or not knows_failed(key, job[1], parent_key) then
    redis.call('SADD', parent_key .. ':dependencies', key)
  end
  redis.call('HSET', key, 'parentKey', parent_key, 'parent', parent)
  return false
end

local woken, due = {}, {}

-- Writes a job that is not there; its state.
local function create(p, id, a, claim)
  local key, name, at = p.base .. id, ARGV[a + 3], tonumber(ARGV[a + 6])
  local delay, priority = tonumber(ARGV[a + 7]), tonumber(ARGV[a + 8])
  redis.call('HSET', key, 'name', name, 'data', ARGV[a + 4], 'opts', ARGV[a + 5], 'timestamp', ARGV[a + 6],
    'delay', ARGV[a + 7], 'priority', ARGV[a + 8])
  if ARGV[a + 12] ~= '' then
    redis.call('HSET', key, 'parentKey', ARGV[a + 12], 'parent', ARGV[a + 13])
  end
  if claim then
    redis.call('HSET', key, 'deid', claim.id)
  end
  emit(p, 'added', 'jobId', id, 'name', name)
  local state
  if ARGV[a + 10] == '1' then
    state = 'waiting-children'
    redis.call('ZADD', p.waiting_children, at, id)
    emit_and_trim(p, 'waiting-children', 'jobId', id)
  elseif delay > 0 then
    state = 'delayed'
    redis.call('ZADD', p.delayed, delayed_score(p, at + delay), id)
    emit_and_trim(p, 'delayed', 'jobId', id, 'delay', string.format('%.0f', at + delay))
    due[p] = true
  else
    state = push_waiting(p, id, priority, priority == 0 and ARGV[a + 9] == '1')
    emit_and_trim(p, 'waiting', 'jobId', id)
    woken[p] = true
  end
  if ARGV[a + 12] ~= '' then
    redis.call('SADD', ARGV[a + 12] .. ':dependencies', key)
  end
  return state
end

local parents, lacking = {}, {}
for i = 1, count do
  local a = first + (i - 1) * 15
  local group, p, parent = groups[tonumber(ARGV[a])], queues[tonumber(ARGV[a + 1])], ARGV[a + 12]
  local id, fate, state, refused = ARGV[a + 2], false, false, false
  if keeps_rest or group[1] == 'added' then
    if parent ~= '' and redis.call('EXISTS', parent) == 0 then
      fate, refused = 'missing', true
    else
      local number = redis.call('INCR', p.id)
      if id == '' then
        id = string.format('%.0f', number)
      end
      if redis.call('EXISTS', p.base .. id) == 1 then
        state = state_of(p, id)
        fate = parent ~= '' and attach(p, id, state, parent, ARGV[a + 13])
        if fate then
          lacking[parent], refused = true, true
        else
          fate = 'existing'
          emit_and_trim(p, 'duplicated', 'jobId', id)
        end
      else
        local claim, owner, moved = false, false, false
        fate = 'created'
        if ARGV[a + 14] ~= '' then
          claim = read_claim(ARGV[a + 14])
          fate, owner, moved = decide(p, claim, {
            id = id, name = ARGV[a + 3], data = ARGV[a + 4], opts = ARGV[a + 5],
            timestamp = tonumber(ARGV[a + 6]), delay = tonumber(ARGV[a + 7]), now = now,
          })
          due[p] = due[p] or moved
        end
        if owner then
          id, state = owner, state_of(p, owner)
        else
          state = create(p, id, a, claim)
        end
      end
    end
    if parent ~= '' then
      parents[#parents + 1] = parent
    end
    if ARGV[a + 11] == '1' and refused then
      group[1], group[2], group[3] = fate, i, id
    end
  end
  local n = (i - 1) * 3
  answers[n + 1], answers[n + 2], answers[n + 3] = id, fate, state
end
for p in pairs(woken) do
  read_settings(p)
  wake(p)
end
for p in pairs(due) do
  mark_next_due(p)
end
local released = {}
for _, parent in ipairs(parents) do
  if not lacking[parent] and not released[parent] then
    released[parent] = true
    local p, id = family_at(parent)
    release_if_free(p, id, now)
  end
end
local flat = {}
for group = 1, group_count do
  for i = 1, 3 do
    flat[#flat + 1] = groups[group][i]
  end
end
return { flat, answers }
