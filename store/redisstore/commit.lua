-- One commit: every record that is to be replaced is still what was read, or nothing is written.
-- KEYS: epoch, changes, audit, floor, ends, index of revocations, then for each write: record, index.
-- ARGV: mark, audit entry, milliseconds for which changes are kept, then for each write: octets that are
--       there ('' for none), octets to write, kind of its Change ('' for none: it has no index either),
--       identifier, time of its end in Unix milliseconds ('' for none), version that raises the floor.
-- Returns 1: done, 0: something changed meanwhile, -1: this is not the namespace that was opened.
local fixedKeys, perKey, fixedArgs, perArg = 6, 2, 3, 6
local trimmed = 16 -- at most, so that no write pays for many
local writes = (#KEYS - fixedKeys) / perKey
local function key(i, n) return KEYS[fixedKeys + perKey * i + n] end
local function arg(i, n) return ARGV[fixedArgs + perArg * i + n] end

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
	return -1
end
for i = 0, writes - 1 do
	local there = redis.call('GET', key(i, 1))
	if there ~= (arg(i, 1) ~= '' and arg(i, 1)) then
		return 0
	end
end

-- Nothing is undone when a command fails. So what fails if a key holds something else comes first.
local floor = tonumber(redis.call('GET', KEYS[4]) or '0')
redis.call('XLEN', KEYS[2])
redis.call('ZCARD', KEYS[5])
redis.call('ZCARD', KEYS[6])
for i = 0, writes - 1 do
	if arg(i, 3) ~= '' then
		redis.call('ZCARD', key(i, 2))
	end
end
local last = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
local number = last and tonumber(string.match(last[1], '^%d+')) or 0
redis.call('XADD', KEYS[3], string.format('%.0f-0', number + 1), 'entry', ARGV[2])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = string.format('%.0f', now - ARGV[3])
local raised = floor
for i = 0, writes - 1 do
	redis.call('SET', key(i, 1), arg(i, 2))
	if arg(i, 3) ~= '' then
		redis.call('ZADD', key(i, 2), 0, arg(i, 4))
		redis.call('XADD', KEYS[2], 'MINID', '~', since, '*', 'kind', arg(i, 3), 'id', arg(i, 4))
	end
	if arg(i, 5) ~= '' then
		redis.call('PEXPIREAT', key(i, 1), arg(i, 5))
		redis.call('ZADD', KEYS[5], arg(i, 5), arg(i, 4))
	elseif arg(i, 3) == 'revocation' then
		redis.call('ZREM', KEYS[5], arg(i, 4))
	end
	raised = math.max(raised, tonumber(arg(i, 6)))
end
if raised > floor then
	redis.call('SET', KEYS[4], string.format('%.0f', raised))
end

-- What Redis has removed, because its end has come, leaves the lists.
local gone = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', string.format('%.0f', now), 'LIMIT', 0, trimmed)
if #gone > 0 then
	redis.call('ZREM', KEYS[6], unpack(gone))
	redis.call('ZREM', KEYS[5], unpack(gone))
end
return 1
