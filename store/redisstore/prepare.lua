-- What a commit will replace, and the version of what it makes anew.
-- KEYS: epoch, floor, then records.  ARGV: mark, 1 to take a number, or 0.
-- Returns the number that was taken, or else the one after the floor; and the records. {-2, kind, key, reason}: what
-- is there is damaged.
local floor = redis.call('GET', KEYS[2]) or '0'
if not string.match(floor, '^%d+$') or #floor > 15 then
	return {-2, 'key', KEYS[2], 'it is not a number: something else wrote to this key'}
end
local records = {}
for i = 3, #KEYS do -- not MGET, which takes what is no string for nothing
	records[i - 2] = redis.call('GET', KEYS[i])
end
if ARGV[2] == '1' then
	floor = floor + 1
	redis.call('SET', KEYS[2], string.format('%.0f', floor))
	return {floor, records}
end
return {floor + 1, records}
