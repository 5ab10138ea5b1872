-- Makes the installation record unless there is one, and returns what is there.
-- KEYS: epoch, installation, audit.  ARGV: mark, record, audit entry.
-- Returns -1 if this is not the namespace that was opened.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
	return -1
end
local there = redis.call('GET', KEYS[2])
if there then
	return there
end
local last = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
local number = last and tonumber(string.match(last[1], '^%d+')) or 0
redis.call('XADD', KEYS[3], string.format('%.0f-0', number + 1), 'entry', ARGV[3])
redis.call('SET', KEYS[2], ARGV[2])
return ARGV[2]
