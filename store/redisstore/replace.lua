-- Replaces the installation record if it is the one that was read.
-- KEYS: epoch, installation, audit.  ARGV: mark, octets that are to be there, octets to write, audit entry.
-- Returns 1: done, or it was done before, 0: there is no record, the record that is there: another one,
-- {-2, kind, key, reason}: what is there is damaged.
local there = redis.call('GET', KEYS[2])
if not there then
	return 0
end
if there == ARGV[3] then
	-- Another connection may have written it. WAIT speaks of this one, so this one writes something, too.
	redis.call('SET', KEYS[1], ARGV[1])
	return 1
end
if there ~= ARGV[2] then
	return there
end
local entry, failed = following(KEYS[3], KEYS[2])
if failed then
	return failed
end
redis.call('XADD', KEYS[3], entry, 'entry', ARGV[4])
redis.call('SET', KEYS[2], ARGV[3])
return 1
