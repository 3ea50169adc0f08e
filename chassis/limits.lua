-- A token bucket from which portions are lent. KEYS[1] the bucket; ARGV: rate per second, capacity,
-- tokens needed, tokens to lend besides. Answers {tokens granted, 0}, or {0, milliseconds to wait}.
-- More than the bucket ever holds is granted when it is full, and owed. Nothing is lent besides from
-- the lower half: near its limit a key is counted exactly. Redis' own clock, so that all replicas
-- count by the same one.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local rate, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local needed, besides = tonumber(ARGV[3]), tonumber(ARGV[4])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'time')
local tokens = tonumber(bucket[1]) or capacity
local before = tonumber(bucket[2]) or now
tokens = math.min(capacity, tokens + math.max(0, now - before) * rate / 1000)
local missing = math.min(needed, capacity) - tokens
local granted, wait = 0, 0
if missing > 0 then
    wait = math.ceil(missing * 1000 / rate)
else
    local spare = math.floor(tokens - needed - capacity / 2)
    granted = needed + math.max(0, math.min(besides, spare))
    tokens = tokens - granted
end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'time', tostring(now))
-- A bucket that would be full again is as good as none
redis.call('PEXPIRE', KEYS[1], math.ceil((capacity - tokens) * 1000 / rate) + 1000)
return {granted, wait}
