-- Names the declared keys, which come in the same order in every script (twin: src/keys.rs).
local q = {
  meta = KEYS[1], id = KEYS[2], wait = KEYS[3], paused = KEYS[4], active = KEYS[5], prioritized = KEYS[6],
  pc = KEYS[7], delayed = KEYS[8], completed = KEYS[9], failed = KEYS[10], waiting_children = KEYS[11],
  marker = KEYS[12], events = KEYS[13], stalled = KEYS[14], stalled_check = KEYS[15], limiter = KEYS[16],
  leases = KEYS[17], cancels = KEYS[18], expiry = KEYS[19], workers = KEYS[20], limited = KEYS[21],
  base = string.sub(KEYS[1], 1, -5),
}
