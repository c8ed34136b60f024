-- Job schedulers of BullMQ's, which go on only through the job of their next run.

-- Whether a job is the next run of a scheduler: its id is `repeat:SCHEDULER:MS`, and that is when it runs next.
local function is_next_run(q, id)
  local scheduler, ms = string.match(id, '^repeat:(.*):(%d+)$')
  if not scheduler then
    return false
  end
  local next_ms = redis.call('ZSCORE', q.base .. 'repeat', scheduler)
  return next_ms ~= false and tonumber(next_ms) == tonumber(ms)
end
