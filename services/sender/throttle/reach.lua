-- People whom a portfolio reached outside their windows in the last 24 h, at most so many.
-- KEYS: the portfolio's set, by when each was last reached. ARGV: limit; then people.
-- Answers for each after how many ms one may be reached; 0: now, and they were counted.
-- The set is never larger than the limit, so the limit bounds it.
local DAY = 86400000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - DAY)
local count, waits, later = redis.call('ZCARD', KEYS[1]), {}, nil
for i = 2, #ARGV do
  local known = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if known or count < limit then
    redis.call('ZADD', KEYS[1], now, ARGV[i])
    if not known then count = count + 1 end
    waits[i - 1] = 0
  else
    if not later then
      local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
      later = oldest[2] and tonumber(oldest[2]) + DAY - now or DAY
    end
    waits[i - 1] = math.max(1, later)
  end
end
redis.call('PEXPIRE', KEYS[1], DAY)
return waits
