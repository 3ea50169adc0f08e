-- People whom a portfolio reached outside their windows in the last 24 h, at most so many.
-- KEYS: the portfolio's set, by when each was last reached; whose place was promised last. ARGV:
-- limit; then people.
-- Answers for each after how many ms one may be reached; 0: now, and they were counted.
-- The set is never larger than the limit, so the limit bounds it. Each who waits is told of another
-- place that becomes free, in turn: of one place, all would be asked again at once, for one to go.
local DAY = 86400000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - DAY)
local count, waits = redis.call('ZCARD', KEYS[1]), {}
local promised = redis.call('GET', KEYS[2]) or '0'
local function later()
  local free = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. promised, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not free[2] then free = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES') end
  if not free[2] then return DAY end
  promised = free[2]
  return tonumber(promised) + DAY - now
end
for i = 2, #ARGV do
  local known = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if known or count < limit then
    redis.call('ZADD', KEYS[1], now, ARGV[i])
    if not known then count = count + 1 end
    waits[i - 1] = 0
  else
    waits[i - 1] = math.max(1, later())
  end
end
redis.call('PEXPIRE', KEYS[1], DAY)
redis.call('SET', KEYS[2], promised, 'PX', DAY)
return waits
