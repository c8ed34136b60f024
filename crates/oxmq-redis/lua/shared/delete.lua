-- Removing jobs. Needs shared/family, shared/dedup and what they need.

-- Removes all that belongs to jobs, but not their places in lists; adds those that had a parent to `orphans`, each with
-- its queue's base and its parent's key.
local function forget_jobs(q, ids, is_retention, orphans)
  for from = 1, #ids, 100 do
    local keys = {}
    for i = from, math.min(from + 99, #ids) do
      local key = q.base .. ids[i]
      local ties = redis.call('HMGET', key, 'parentKey', 'deid')
      if ties[1] then
        orphans[#orphans + 1] = { key, q.base, ties[1] }
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

-- Removes jobs that have left their lists, then tells their parents, which wait for them no more: one that waited for
-- nothing else runs; or is removed, too, if it is in the same queue and `along` is set. Retention leaves deduplication alone
-- (`is_retention`).
local function delete_jobs(q, ids, now, is_retention, along)
  local orphans, at = {}, 1
  forget_jobs(q, ids, is_retention, orphans)
  while orphans[at] do
    local child, base, parent_key = unpack(orphans[at])
    at = at + 1
    if redis.call('SREM', parent_key .. ':dependencies', child) == 1 then
      local p, id = family_at(parent_key)
      if not (along and p.base == base) then
        release_if_free(p, id, now)
      elseif redis.call('EXISTS', parent_key .. ':dependencies') == 0 and redis.call('EXISTS', parent_key) == 1
        and redis.call('ZREM', p.waiting_children, id) == 1 then
        emit(p, 'removed', 'jobId', id, 'prev', 'waiting-children')
        local above = {}
        forget_jobs(p, { id }, is_retention, above)
        if above[1] then
          table.insert(orphans, at, above[1])
        end
      end
    end
  end
end
