-- Slots of a number: moments at which one message each may leave, shared by all replicas.
-- KEYS: the number's state, its last slots (newest first, as many as its limit).
-- ARGV: limit a second; share kept for conversations; then by lane how many slots are wanted, and
-- how far ahead they may be booked (us); then slots that are given back.
-- Answers Redis' time, us until more can be had (0: now), whether the limit is far (1: it is), and
-- the slots. All times in us.
--
-- Three rules at once: slots lie evenly (`next`); who fell behind for a moment catches up, a quarter
-- faster; and whatever happens, any stretch of a second holds at most the limit. That second is
-- taken 2 % longer, since messages do not arrive exactly when they leave.
local SECOND, LONGER, FASTER, BEHIND = 1000000, 1.02, 1.25, 500000
local RECOVERY = 0.01 -- of the limit, regained in a second without throttling
local TALK = 5 * SECOND -- the memory of how much is being talked
local PROBE = 60 * SECOND -- longer than a call
local FAR = 0.5 -- of the slots of a second: fewer are in use when the limit is far
local time = redis.call('TIME')
local now = time[1] * SECOND + time[2]
local limit, share = tonumber(ARGV[1]), tonumber(ARGV[2])
local found = redis.call(
  'HMGET', KEYS[1], 'next', 'factor', 'factor_time', 'talk', 'talk_time', 'open_until', 'probe_until')
local next = tonumber(found[1]) or now
local factor = math.min(
  1, (tonumber(found[2]) or 1) + (now - (tonumber(found[3]) or now)) / SECOND * RECOVERY)
local talk = (tonumber(found[4]) or 0) * math.exp((tonumber(found[5]) or now) / TALK - now / TALK)
local open_until, probe_until = tonumber(found[6]) or 0, tonumber(found[7]) or 0

local rate = limit * factor / SECOND
local cap = math.max(1, math.floor(limit * factor))
local window = cap / rate * LONGER
local gap, least = window / cap, window / cap / FASTER

for i = 10, #ARGV do
  if redis.call('LREM', KEYS[2], 1, ARGV[i]) == 1 then next = next - gap end
end
if next < now - BEHIND then next = now end

local probing = open_until > 0
if open_until > now then return {now, open_until - now, 0} end
if probing and probe_until > now then return {now, math.min(probe_until - now, 100000), 0} end

-- Conversations find room: bulk leaves twice what they now take, up to the share.
local kept = math.min(share * cap, 2 * talk / (TALK / SECOND))
local last = redis.call('LRANGE', KEYS[2], 0, 0)
local before = tonumber(last[1]) or 0
local many = redis.call('LINDEX', KEYS[2], math.max(0, math.floor(cap * FAR) - 1))
local far = (tonumber(many or 0) < now - SECOND) and 1 or 0
local answer, slots, wait = {now, 0, far}, {}, nil
for lane = 1, 3 do
  local wanted, ahead = tonumber(ARGV[lane * 2 + 1]), tonumber(ARGV[lane * 2 + 2])
  if probing then wanted = math.min(wanted, 1 - #slots) end
  if wanted > 0 then
    local mine = cap
    if lane == 3 then mine = math.max(1, math.floor(cap - kept)) end
    -- The slots that a window of `mine` begins behind, for each of the new ones.
    local first = math.max(0, mine - #slots - wanted)
    local oldest = redis.call('LRANGE', KEYS[2], first, math.max(first, mine - #slots - 1))
    local taken = 0
    while taken < wanted do
      local slot = math.max(now, next, before + least)
      local index = mine - #slots - 1
      local bound = nil
      if index >= 0 then bound = tonumber(oldest[index - first + 1]) else bound = slots[-index] end
      if bound then slot = math.max(slot, bound + window) end
      slot = math.ceil(slot)
      if slot > now + ahead then
        wait = math.min(wait or slot - ahead - now, slot - ahead - now)
        break
      end
      slots[#slots + 1] = slot
      before, next, taken = slot, next + gap, taken + 1
    end
  end
end

if #slots > 0 then
  local texts = {}
  for i, slot in ipairs(slots) do
    texts[i], answer[i + 3] = string.format('%.0f', slot), slot
  end
  for i = 1, #texts, 1000 do
    redis.call('LPUSH', KEYS[2], unpack(texts, i, math.min(i + 999, #texts)))
  end
  redis.call('PEXPIRE', KEYS[2], 60000)
  if probing then redis.call('HSET', KEYS[1], 'probe_until', string.format('%.0f', now + PROBE)) end
end
redis.call('LTRIM', KEYS[2], 0, cap - 1)
redis.call('HSET', KEYS[1], 'next', string.format('%.0f', next))
redis.call('PEXPIRE', KEYS[1], 3600000)
answer[2] = math.ceil(wait or 0)
return answer
