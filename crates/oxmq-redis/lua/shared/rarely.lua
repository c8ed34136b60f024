-- What follows, up to shared/rare, is made when it is asked for first: most calls need none of it, and making it costs a lone
-- one some 3 us.
local rare_functions
local function rarely()
  if rare_functions then
    return rare_functions
  end
