-- Writes again what is there, so that WAIT on this connection speaks of all that was written before.
-- KEYS: epoch.  ARGV: mark.  Returns 1, or -1 if this is not the namespace that was opened.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
	return -1
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
