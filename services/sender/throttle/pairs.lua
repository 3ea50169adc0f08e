-- Messages to one person from one number: one an interval; a burst borrows from the future and is
-- paid off before the next one.
-- KEYS: a key each message, of its pair. ARGV: interval (ms), most of a burst; then for each 0: it
-- goes when nothing is owed, 1: it may be part of a burst, above: nothing may go for so many ms.
-- Answers for each after how many ms it may go; 0: it goes, and was counted.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local interval, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local waits = {}
for i, key in ipairs(KEYS) do
  local how = tonumber(ARGV[i + 2])
  local start, count, free = 0, 0, 0
  local found = redis.call('GET', key)
  if found then
    local values = {}
    for value in string.gmatch(found, '%d+') do values[#values + 1] = tonumber(value) end
    start, count, free = values[1], values[2], values[3]
  end
  waits[i] = 0
  if how > 1 then
    start, count, free = 0, most, math.max(free, now + how)
  elseif now >= free then
    start, count, free = now, 1, now + interval
  elseif how == 1 and now - start <= interval and count < most then
    count, free = count + 1, free + interval
  else
    waits[i] = free - now
  end
  if waits[i] == 0 then
    local value = string.format('%.0f %.0f %.0f', start, count, free)
    redis.call('SET', key, value, 'PX', math.max(1, free - now))
  end
end
return waits
