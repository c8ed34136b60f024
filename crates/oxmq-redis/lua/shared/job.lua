-- What belongs to one job, and where jobs stand.

-- Calls a command with many values after its first arguments, in slices, so that no call has too many.
local function call_many(command, key, values)
  for from = 1, #values, 1000 do
    redis.call(command, key, unpack(values, from, math.min(from + 999, #values)))
  end
end

-- A list with room for so many values: one that grows costs as much as a command.
local NOTHING = {}
local function room_for(many)
  return { unpack(NOTHING, 1, math.min(many, 1000)) }
end

-- A small number as text: most are 1, and writing out any other costs as much as a command.
local function as_text(number)
  return number == 1 and '1' or string.format('%.0f', number)
end

-- Whether any of these keys exists, from the one at `first` on; in slices, too.
local function any_exists(keys, first)
  for from = first, #keys, 1000 do
    if redis.call('EXISTS', unpack(keys, from, math.min(from + 999, #keys))) > 0 then
      return true
    end
  end
  return false
end

-- The state of a job whose hash exists, by BullMQ's names ('wait', 'paused', ..); false if it is in none.
local function state_of(q, id)
  if redis.call('ZSCORE', q.completed, id) then return 'completed' end
  if redis.call('ZSCORE', q.failed, id) then return 'failed' end
  if redis.call('ZSCORE', q.delayed, id) then return 'delayed' end
  if redis.call('ZSCORE', q.prioritized, id) then return 'prioritized' end
  if redis.call('LPOS', q.active, id) then return 'active' end
  if redis.call('LPOS', q.wait, id) then return 'wait' end
  if redis.call('LPOS', q.paused, id) then return 'paused' end
  if redis.call('ZSCORE', q.waiting_children, id) then return 'waiting-children' end
  return false
end

-- Takes a job out of the list of its state.
local function leave(q, id, state)
  if state == 'active' then
    redis.call('LREM', q.active, -1, id)
  elseif state == 'wait' then
    redis.call('LREM', q.wait, -1, id)
  elseif state == 'paused' then
    redis.call('LREM', q.paused, -1, id)
  elseif state == 'waiting-children' then
    redis.call('ZREM', q.waiting_children, id)
  elseif state then
    redis.call('ZREM', q[state], id)
  end
end

-- Sets for how long our leases are kept: a day longer than any of them lasts.
local function keep_leases(q, lease_ms)
  redis.call('PEXPIRE', q.leases, string.format('%.0f', 86400000 + lease_ms))
end

-- Who holds an active job: the token of its lock, else that of our own lease if the lock has expired; false if
-- nobody does. The second value is when our own lease ends, in ms.
local function holder_of(q, id)
  local lock = redis.call('GET', q.base .. id .. ':lock')
  local lease = redis.call('HGET', q.leases, id)
  local ends, token = nil, nil
  if lease then
    ends, token = string.match(lease, '^(%-?%d+) (.*)$')
  end
  if lock then
    return lock, token == lock and tonumber(ends) or nil
  end
  return token or false, tonumber(ends)
end
