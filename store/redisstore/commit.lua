-- One commit: every record that is to be replaced is still what was read, or nothing is written.
-- KEYS: epoch, changes, audit, floor, ends, index of revocations, installation, then for each write: record,
--       index.
-- ARGV: mark, audit entry, milliseconds for which changes are kept, what the keys of revocations begin with,
--       then for each write: octets that are there ('' for none), octets to write, kind of its Change ('' for
--       none: it has no index either), identifier, time of its end in Unix milliseconds ('' for none), version
--       that raises the floor.
-- Returns 1: done, 0: something changed meanwhile, {-2, kind, key, reason}: what is there is damaged.
local fixedKeys, perKey, fixedArgs, perArg = 7, 2, 4, 6
local trimmed = 16 -- at most, so that no write pays for many
local writes = (#KEYS - fixedKeys) / perKey
local function key(i, n) return KEYS[fixedKeys + perKey * i + n] end
local function arg(i, n) return ARGV[fixedArgs + perArg * i + n] end

for i = 0, writes - 1 do
	local there = redis.call('GET', key(i, 1))
	if there ~= (arg(i, 1) ~= '' and arg(i, 1)) then
		return 0
	end
end

-- Nothing is undone when a command fails. So what fails if a key holds something else, or if nothing can follow
-- in a log, comes first. A full Redis refuses the first thing that is written, and only that.
local floor = tonumber(redis.call('GET', KEYS[4]) or '0')
if not floor then
	return {-2, 'key', KEYS[4], 'it is not a number: something else wrote to this key'}
end
redis.call('ZCARD', KEYS[5])
redis.call('ZCARD', KEYS[6])
for i = 0, writes - 1 do
	if arg(i, 3) ~= '' then
		redis.call('ZCARD', key(i, 2))
	end
end
local feed, failed = about(KEYS[2])
if failed then
	return failed
end
if feed and string.match(feed['last-generated-id'], '^' .. string.rep('%d', 20) .. '%-') then
	return {-2, 'key', KEYS[2], 'no entry can follow its last one: something else wrote to this key'}
end
local entry
entry, failed = following(KEYS[3], KEYS[7])
if failed then
	return failed
end

redis.call('XADD', KEYS[3], entry, 'entry', ARGV[2])
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

-- What Redis has removed, because its end has come, leaves the lists. The order of ends only says where to
-- look: a revocation that is there stays in the list, whatever the order says, and the order is mended.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', string.format('%.0f', now), 'LIMIT', 0, trimmed)) do
	local ends = redis.call('PEXPIRETIME', ARGV[4] .. id)
	if ends >= 0 then
		redis.call('ZADD', KEYS[5], ends, id)
	else
		redis.call('ZREM', KEYS[5], id)
	end
	if ends == -2 then
		redis.call('ZREM', KEYS[6], id)
	end
end
return 1
