-- The slots of schedules, and the jobs in them. Needs shared/queue, shared/place. Twin: oxmq-core/src/schedule/.

-- The slot after `previous`, or the first one if that is nil, and its offset (twin: schedule/every.rs).
local function next_every(previous, every, now, offset, start)
  local in_step = now - now % every + offset
  local slot
  if previous then
    slot = previous + every
    if slot < now then
      slot = in_step > now and in_step or in_step + every
    end
  elseif start then
    slot = math.max(start, now)
  elseif offset > 0 then
    slot = in_step > now and in_step or in_step + every
  else
    slot = now
  end
  return slot, offset ~= 0 and offset or slot % every
end

-- The id of the job of a slot.
local function slot_id(schedule, slot)
  return 'repeat:' .. schedule .. ':' .. string.format('%.0f', slot)
end

-- The first slot from `slot` on that has no job: of "every" one of 32 more, of a pattern (every is nil) this one. The
-- job `but` does not count. Returns the slot, or false; then the job that was found last.
local function free_slot(q, schedule, slot, every, but)
  local job
  for _ = 0, every and 32 or 0 do
    job = slot_id(schedule, slot)
    if job == but or redis.call('EXISTS', q.base .. job) == 0 then
      return slot
    end
    slot = slot + (every or 0)
  end
  return false, job
end

--[[ Makes the job of a slot. spec: name, data, number (of the job, as text), now, priority, lifo, and of its options as JSON:
  head (up to the slot in the id), rule (`repeat` without its count), rest (from a comma on, or the end), pattern. ]]
local function make_slot_job(q, schedule, slot, spec)
  local job = slot_id(schedule, slot)
  local ms = string.format('%.0f', slot)
  local delay = math.max(slot - spec.now, 0)
  local delay_text, now_text = string.format('%.0f', delay), string.format('%.0f', spec.now)
  local opts = spec.head .. ms .. '","delay":' .. delay_text .. ',"timestamp":' .. now_text
    .. ',"repeat":{"count":' .. spec.number .. ',' .. string.sub(spec.rule, 2)
    .. (spec.pattern and ',"prevMillis":' .. ms or '') .. spec.rest
  redis.call('INCR', q.id)
  redis.call('HSET', q.base .. job, 'name', spec.name, 'data', spec.data, 'opts', opts, 'timestamp', now_text,
    'delay', delay_text, 'priority', string.format('%.0f', spec.priority), 'rjk', schedule)
  emit(q, 'added', 'jobId', job, 'name', spec.name)
  if delay > 0 then
    redis.call('ZADD', q.delayed, delayed_score(q, slot), job)
    emit_and_trim(q, 'delayed', 'jobId', job, 'delay', ms)
    mark_next_due(q)
  else
    push_waiting(q, job, spec.priority, spec.lifo and spec.priority == 0)
    read_settings(q)
    wake(q)
    emit_and_trim(q, 'waiting', 'jobId', job)
  end
  return job
end
