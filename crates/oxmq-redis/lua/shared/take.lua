-- Taking jobs. Needs shared/fresh, shared/queue, shared/job, shared/place.

-- What a marker of very old versions begins with.
local ZERO, COLON = string.byte('0:', 1, 2)

--[[ Gives up to request.limit jobs. request: now, limit, token, lease_ms, worker or '', max or nil, window or nil,
  until_needs_rate (a limit by hand is passed over without a rate), leases_are_there (so the time that they are kept for is set).
  Returns {jobs, why, at}: for each job its id, then as it was before {field, value, ..}, or of one that is as it was added,
  without a delay or a tie to others, name, data, opts, timestamp, priority; why is false when `limit` jobs are given, else
  'empty' (at: when the next one is due, or false), 'paused', 'full' or 'limited' (at: until when). ]]
local function take(q, request)
  local now = request.now
  if q.is_paused == nil then
    read_settings(q)
  end
  -- Quiet: nothing is delayed, and nothing was counted against a limit. Set if it was looked at before.
  if q.is_quiet == nil then
    q.is_quiet = redis.call('EXISTS', q.delayed, q.limiter) == 0
  end
  local jobs, taken, why, at = {}, {}, false, false
  local max = q.max or request.max
  local window = request.window or q.duration
  local used, counted = 0, 0
  if not q.is_quiet then
    promote_due(q, now)
    local limiter = redis.call('GET', q.limiter)
    used = tonumber(limiter) or 0
    local by_hand = used >= BY_HAND and (max or not request.until_needs_rate)
    if limiter and (by_hand or (max and used >= max)) then
      local ttl = redis.call('PTTL', q.limiter)
      if ttl > 0 then
        why, at = 'limited', limited_until(q, now, ttl)
      elseif ttl == 0 then
        redis.call('DEL', q.limiter)
        used = 0
      else
        -- Without an end it limits nothing.
        max = nil
      end
    end
  end
  if not window then
    max = nil
  end
  if request.limit > 0 and not why then
    if q.is_paused then
      why = 'paused'
    elseif is_full(q) then
      why = 'full'
    end
  end
  if request.limit == 0 then
    why = false
    at = false
  end
  local free = request.limit
  local full_after
  if q.concurrency then
    local left = q.concurrency - redis.call('LLEN', q.active)
    if left < free then
      free = math.max(left, 0)
      full_after = true
    end
  end
  local token, worker = request.token, request.worker
  local lease_text, now_text = request.lease_text, request.now_text
  local has_lock = token ~= '0'
  local call, events = redis.call, q.events
  -- How many were taken, and the end of what is told of them.
  local count, last = 0, 0
  while not why and count < free do
    local room = free - count
    if max then
      room = math.min(room, max - used - counted)
      if room <= 0 then
        break
      end
    end
    local ids
    if room == 1 then
      ids = { call('RPOPLPUSH', q.wait, q.active) or nil }
    else
      ids = call('RPOP', q.wait, room) or {}
    end
    local popped = #ids
    for i = popped, 1, -1 do
      -- A marker of very old versions, '0:' and a time, is no job.
      local id = ids[i]
      if string.byte(id, 2) == COLON and string.byte(id) == ZERO then
        table.remove(ids, i)
        if room == 1 then
          call('LREM', q.active, 1, id)
        end
      end
    end
    if popped == 0 then
      local first = call('ZPOPMIN', q.prioritized, room)
      for i = 1, #first, 2 do
        ids[#ids + 1] = first[i]
      end
      if #first == 0 then
        redis.call('DEL', q.pc)
        why = 'empty'
      end
    end
    if #ids > 0 then
      if room > 1 or popped == 0 then
        call_many('LPUSH', q.active, ids)
      end
      if last == 0 then
        jobs, taken = room_for(6 * #ids), room_for(#ids)
      end
      for _, id in ipairs(ids) do
        local key = base .. id
        local job = call('HGETALL', key)
        local started, is_to_fail = '1', false
        local name, data, opts, timestamp, priority = as_added(job)
        jobs[last + 1] = id
        if name then
          jobs[last + 2], jobs[last + 3], jobs[last + 4], jobs[last + 5], jobs[last + 6] = name, data, opts, timestamp, priority
          last = last + 6
        else
          jobs[last + 2] = job
          last = last + 2
          for f = 1, #job, 2 do
            local field = job[f]
            if field == 'ats' then
              started = as_text((tonumber(job[f + 1]) or 0) + 1)
            elseif field == 'defa' then
              is_to_fail = true
            end
          end
        end
        if worker ~= '' then
          call('HSET', key, 'processedOn', now_text, 'ats', started, 'pb', worker)
        else
          call('HSET', key, 'processedOn', now_text, 'ats', started)
        end
        if max and not is_to_fail then
          counted = counted + 1
        end
        if has_lock then
          call('SET', key .. ':lock', token, 'PX', lease_text)
        end
        call('XADD', events, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
        count = count + 1
        taken[count] = id
      end
    end
  end
  if counted > 0 and redis.call('INCRBY', q.limiter, counted) == counted then
    local ms = math.max(math.floor(math.abs(window)), 1)
    redis.call('PEXPIRE', q.limiter, ms)
    redis.call('SET', q.limited, string.format('%.0f', now + ms), 'PX', ms)
  end
  if count > 0 then
    if has_lock then
      local lease = string.format('%.0f', now + request.lease_ms) .. ' ' .. token
      local leases = room_for(2 * count)
      for i = 1, count do
        leases[2 * i - 1], leases[2 * i] = taken[i], lease
      end
      call_many('HSET', q.leases, leases)
      if not request.leases_are_there then
        keep_leases(q, request.lease_ms)
      end
    else
      call_many('HDEL', q.leases, taken)
    end
    redis.call('ZADD', q.marker, '0', '0')
  end
  if not why and count < request.limit then
    if full_after and count == free then
      why = 'full'
    else
      local ttl = redis.call('PTTL', q.limiter)
      why, at = 'limited', limited_until(q, now, math.max(ttl, 0))
    end
  end
  if why == 'empty' then
    at = not q.is_quiet and next_due(q)
  end
  return { jobs, why, at and (type(at) == 'number' and string.format('%.0f', at) or at) }
end

-- Reads a demand from ARGV, beginning at `a`; eight values.
local function read_demand(a)
  return {
    now = tonumber(ARGV[a]), now_text = ARGV[a], limit = tonumber(ARGV[a + 1]), token = ARGV[a + 2],
    lease_ms = tonumber(ARGV[a + 3]), lease_text = ARGV[a + 3], worker = ARGV[a + 4], max = tonumber(ARGV[a + 5]),
    window = tonumber(ARGV[a + 6]), until_needs_rate = ARGV[a + 7] == '1',
  }
end
