-- Makes the installation record unless there is one, and returns what is there.
-- KEYS: epoch, installation, audit.  ARGV: mark, record, audit entry.
-- Returns {-2, kind, key, reason} if a record is damaged.
local there = redis.call('GET', KEYS[2])
if there then
	-- Another connection wrote it. WAIT speaks of this one, so this one writes something, too.
	redis.call('SET', KEYS[1], ARGV[1])
	return there
end
local entry, failed = following(KEYS[3], KEYS[2])
if failed then
	return failed
end
redis.call('XADD', KEYS[3], entry, 'entry', ARGV[3])
redis.call('SET', KEYS[2], ARGV[2])
return ARGV[2]
