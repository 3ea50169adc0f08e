-- What became of calls of a number, and what people wrote to it.
-- KEYS: the number's state, its last slots. ARGV: calls that were answered, that were not, that
-- were throttled; messages of a conversation: that left, that came in; limit a second.
-- The state: see `book.lua`. The circuit opens when more calls fail than succeed, and for longer
-- each time that a probe fails.
local SECOND = 1000000
local SLOWER, SLOWEST, RECOVERY = 0.7, 0.05, 0.01
local MEMORY, FAILURES, TALK = 10 * SECOND, 10, 5 * SECOND
local SHORTEST, LONGEST = 1 * SECOND, 60 * SECOND
local time = redis.call('TIME')
local now = time[1] * SECOND + time[2]
local answered, failed, throttled = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local left, came, limit = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local function text(number) return string.format('%.6f', number) end
local function state(...)
  local values = redis.call('HMGET', KEYS[1], ...)
  for i = 1, select('#', ...) do values[i] = tonumber(values[i]) end
  return values
end

if throttled > 0 then
  local found = state('factor', 'factor_time', 'slowed_time')
  -- What was under way when the first was throttled says nothing new.
  if now - (found[3] or 0) >= SECOND then
    local factor = math.min(1, (found[1] or 1) + (now - (found[2] or now)) / SECOND * RECOVERY)
    redis.call('HSET', KEYS[1], 'factor', text(math.max(SLOWEST, factor * SLOWER)),
      'factor_time', text(now), 'slowed_time', text(now))
  end
end

if answered + failed > 0 then
  local found = state('good', 'bad', 'calls_time', 'open_until', 'opened')
  local fade = math.exp(((found[3] or now) - now) / MEMORY)
  local good, bad = (found[1] or 0) * fade + answered, (found[2] or 0) * fade + failed
  local open_until, opened = found[4] or 0, found[5] or 0
  if open_until == 0 then
    if bad >= FAILURES and bad > good then open_until, opened = now + SHORTEST, 1 end
  elseif open_until <= now then
    if failed > 0 then
      open_until, opened = now + math.min(LONGEST, SHORTEST * 2 ^ opened), opened + 1
    else
      good, bad, open_until, opened = 0, 0, 0, 0
    end
    redis.call('HDEL', KEYS[1], 'probe_until')
  end
  redis.call('HSET', KEYS[1], 'good', text(good), 'bad', text(bad), 'calls_time', text(now),
    'open_until', text(open_until), 'opened', text(opened))
end

if left + came > 0 then
  local found = state('talk', 'talk_time')
  local talk = (found[1] or 0) * math.exp(((found[2] or now) - now) / TALK) + left + came
  redis.call('HSET', KEYS[1], 'talk', text(talk), 'talk_time', text(now))
end
if came > 0 then
  -- Meta counts what comes in as well; a second of it at most, since it cannot be made to wait.
  local cap = math.max(1, math.floor(limit))
  local last = redis.call('LRANGE', KEYS[2], 0, 0)
  local slot = string.format('%.0f', math.max(now, tonumber(last[1]) or 0))
  for _ = 1, math.min(came, cap) do redis.call('LPUSH', KEYS[2], slot) end
  redis.call('LTRIM', KEYS[2], 0, cap - 1)
  redis.call('PEXPIRE', KEYS[2], 60000)
end
redis.call('PEXPIRE', KEYS[1], 3600000)
return now
