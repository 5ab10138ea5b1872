-- Puts records of an import, together with the mark that says how many there are by then, or that makes an
-- installation of them; or nothing.
-- KEYS: epoch, changes, audit, floor, ends, installation, indexes, then for each record: its own key, index; the audit
--       log for an entry.
-- ARGV: mark that is there, mark to write, 1 if nothing else may be there, 0 if this import has begun, floor, installation
--       record and its audit entry ('' for none), then for each record: kind, octets, identifier, time of its end in Unix
--       milliseconds ('' for none), version.
-- Returns 1: done, {-2, kind, key, reason}: what is there is damaged, {-3, key}: something is there, {-4, number, last}: that
-- audit entry does not follow the last one.
local fixedKeys, perKey, fixedArgs, perArg = 10, 2, 6, 5
local records = (#KEYS - fixedKeys) / perKey
local function key(i, n) return KEYS[fixedKeys + perKey * i + n] end
local function arg(i, n) return ARGV[fixedArgs + perArg * i + n] end

-- As in commit.lua, what can fail comes before the first write.
if redis.call('EXISTS', KEYS[6]) == 1 then
	return {-3, KEYS[6]}
end
if ARGV[3] == '1' then
	for i = 3, fixedKeys do
		if redis.call('EXISTS', KEYS[i]) == 1 then
			return {-3, KEYS[i]}
		end
	end
	local feed, failed = about(KEYS[2])
	if failed then
		return failed
	end
	if not feed or feed['length'] ~= 1 then
		return {-3, KEYS[2]}
	end
end
local floor = tonumber(redis.call('GET', KEYS[4]) or '0')
if not floor then
	return {-2, 'key', KEYS[4], 'it is not a number: something else wrote to this key'}
end
redis.call('ZCARD', KEYS[5])
for i = 7, fixedKeys do
	redis.call('ZCARD', KEYS[i])
end
local entry, failed = following(KEYS[3], KEYS[6])
if failed then
	return failed
end
local number = tonumber(string.match(entry, '^%d+'))
local function id(n) return string.format('%.0f', n) end
local last = number - 1
for i = 0, records - 1 do
	if arg(i, 1) ~= 'audit' then
		if redis.call('EXISTS', key(i, 1)) == 1 then
			return {-3, key(i, 1)}
		end
	else
		last = last + 1
		if arg(i, 3) ~= id(last) then
			return {-4, arg(i, 3), id(last - 1)}
		end
	end
end

redis.call('SET', KEYS[1], ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local raised = math.max(floor, tonumber(ARGV[4]))
for i = 0, records - 1 do
	local ends = arg(i, 4)
	if arg(i, 1) == 'audit' then
		redis.call('XADD', KEYS[3], id(number) .. '-0', 'entry', arg(i, 2))
		number = number + 1
	elseif ends == '' or tonumber(ends) > now then
		redis.call('SET', key(i, 1), arg(i, 2))
		if arg(i, 1) ~= 'credential' then
			redis.call('ZADD', key(i, 2), 0, arg(i, 3))
		end
	end
	if ends ~= '' then
		if tonumber(ends) > now then
			redis.call('PEXPIREAT', key(i, 1), ends)
			redis.call('ZADD', KEYS[5], ends, arg(i, 3))
		end
		raised = math.max(raised, tonumber(arg(i, 5)))
	end
end
if raised > floor then
	redis.call('SET', KEYS[4], id(raised))
end
if ARGV[5] ~= '' then
	redis.call('XADD', KEYS[3], id(number) .. '-0', 'entry', ARGV[6])
	redis.call('SET', KEYS[6], ARGV[5])
end
return 1
