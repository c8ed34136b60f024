-- Names the keys of the queue (twin: src/keys.rs), by the first two that are declared.
local base, own = string.sub(KEYS[1], 1, -5), string.sub(KEYS[2], 1, -7)
local q = {
  base = base, meta = KEYS[1], id = base .. 'id', wait = base .. 'wait', paused = base .. 'paused',
  active = base .. 'active', prioritized = base .. 'prioritized', pc = base .. 'pc', delayed = base .. 'delayed',
  completed = base .. 'completed', failed = base .. 'failed', waiting_children = base .. 'waiting-children',
  marker = base .. 'marker', events = base .. 'events', stalled = base .. 'stalled',
  stalled_check = base .. 'stalled-check', limiter = base .. 'limiter', leases = KEYS[2],
  cancels = own .. 'cancels', expiry = own .. 'expiry', workers = own .. 'workers', limited = own .. 'limited',
}
