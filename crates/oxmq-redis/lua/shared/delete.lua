-- Removing jobs. Needs shared/family, shared/dedup and what they need.

-- Removes all that belongs to jobs, but not their places in lists; tells their parents. Retention leaves
-- deduplication alone (`is_retention`).
local function delete_jobs(q, ids, is_retention)
  for from = 1, #ids, 100 do
    local keys = {}
    for i = from, math.min(from + 99, #ids) do
      local key = q.base .. ids[i]
      local ties = redis.call('HMGET', key, 'parentKey', 'deid')
      if ties[1] then
        child_removed(key, ties[1])
      end
      if ties[2] and not is_retention then
        dedup_removed(q, ids[i], ties[2])
      end
      local n = #keys
      keys[n + 1], keys[n + 2], keys[n + 3] = key, key .. ':logs', key .. ':dependencies'
      keys[n + 4], keys[n + 5], keys[n + 6] = key .. ':processed', key .. ':failed', key .. ':unsuccessful'
    end
    redis.call('UNLINK', unpack(keys))
  end
end
