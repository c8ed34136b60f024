-- How a job is shown. Needs shared/job.

-- {id, state, due ms or false, token or false, {field, value, ..}}; false if there is no such job.
local function view(q, id, state)
  local fields = redis.call('HGETALL', q.base .. id)
  if #fields == 0 then
    return false
  end
  local due, token = false, false
  if state == 'delayed' then
    local score = redis.call('ZSCORE', q.delayed, id)
    due = score and string.format('%.0f', math.floor(tonumber(score) / 4096)) or false
  elseif state == 'active' then
    token = holder_of(q, id)
  end
  return { id, state, due, token, fields }
end
