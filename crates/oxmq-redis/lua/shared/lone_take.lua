-- The take of one job, if it is a plain one in a plain queue. It decides before it writes: nothing is changed if it gives nothing,
-- and then the general way does it. Needs shared/fresh.
local function lone_take()
  if not is_lone_demand(1) then
    return
  end
  local prefix = string.sub(KEYS[1], 1, -5)
  -- One of them: as the others are hardly ever there, it is the list.
  if redis.call('EXISTS', prefix .. 'wait', prefix .. 'delayed', prefix .. 'limiter') ~= 1 or not kept_if_plain(KEYS[1]) then
    return
  end
  local job = pop_fresh(prefix)
  if not job then
    return
  end
  start_fresh(prefix, job[1], 1)
  keep_fresh_lease(1)
  return { job, false, false }
end
