-- How a schedule is shown.

-- The fields of a schedule as the client reads them (twin: src/wire/schedule.rs).
local SCHEDULE_FIELDS = {
  'name', 'data', 'opts', 'ic', 'every', 'pattern', 'offset', 'tz', 'limit', 'startDate', 'endDate', 'oxmq',
}

-- {id, slot ms, 1 if its current job has ended or is not there, fields ..}
local function view_schedule(q, id, slot)
  local ms = string.format('%.0f', tonumber(slot))
  local job = redis.call('HMGET', q.base .. 'repeat:' .. id .. ':' .. ms, 'rjk', 'finishedOn')
  local fields = redis.call('HMGET', q.base .. 'repeat:' .. id, unpack(SCHEDULE_FIELDS))
  return { id, ms, (not job[1] or job[2]) and 1 or 0, fields }
end
