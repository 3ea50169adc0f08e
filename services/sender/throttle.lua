-- A token bucket. KEYS[1] the bucket; ARGV: rate per second, capacity, tokens wanted (negative:
-- given back). Answers tokens granted and milliseconds until one more. Redis' own clock, so that
-- all replicas count by the same one.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local rate, capacity, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'time')
local tokens = tonumber(bucket[1]) or capacity
local before = tonumber(bucket[2]) or now
tokens = math.min(capacity, tokens + math.max(0, now - before) * rate / 1000)
local granted = math.min(wanted, math.floor(tokens))
tokens = math.min(capacity, tokens - granted)
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'time', tostring(now))
redis.call('PEXPIRE', KEYS[1], 60000)
local wait = 0
if tokens < 1 then wait = math.ceil((1 - tokens) * 1000 / rate) end
return {granted, wait}
