-- An entry of the audit log, about something that is done beside the records.
-- KEYS: epoch, audit, installation.  ARGV: mark, audit entry.
-- Returns 1, and {-2, kind, key, reason} if the log is damaged.
local entry, failed = following(KEYS[2], KEYS[3])
if failed then
	return failed
end
redis.call('XADD', KEYS[2], entry, 'entry', ARGV[2])
return 1
