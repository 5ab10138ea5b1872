-- Makes a namespace unless it is there, and returns its mark; '' when it lost it.
-- KEYS: epoch, changes, and what else a namespace may hold.  ARGV: the mark.
local mark = redis.call('GET', KEYS[1])
if mark then
	return mark
end
for i = 2, #KEYS do
	if redis.call('EXISTS', KEYS[i]) == 1 then
		return ''
	end
end
redis.call('SET', KEYS[1], ARGV[1])
-- The feed begins with an entry of its own, so that every cursor stands on an entry that can be looked for.
redis.call('XADD', KEYS[2], '*', 'kind', 'epoch', 'id', ARGV[1])
return ARGV[1]
