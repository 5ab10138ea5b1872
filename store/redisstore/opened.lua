-- What scripts begin with: nothing is read or written unless this is the namespace that was opened, and in use.
-- KEYS: epoch, then the script's own.  ARGV: mark, then the script's own.
-- Returns {-1, the mark that is there} if it is not; '' is none.
do
	local mark = redis.call('GET', KEYS[1])
	if mark ~= ARGV[1] then
		return {-1, mark or ''}
	end
end

