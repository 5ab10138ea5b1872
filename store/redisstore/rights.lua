-- Which commands the user may not run. Each is run so that it changes nothing, on a key that does not exist.
-- KEYS: that key.  Returns their names.
local refused = {}
for _, command in ipairs({
	{'GET', KEYS[1]}, {'MGET', KEYS[1]}, {'GETRANGE', KEYS[1], 0, 1}, {'EXISTS', KEYS[1]}, {'TYPE', KEYS[1]},
	{'SET', KEYS[1], '', 'XX'}, {'PEXPIREAT', KEYS[1], 1}, {'PEXPIRETIME', KEYS[1]},
	{'ZADD', KEYS[1], 'XX', 0, ''}, {'ZREM', KEYS[1], ''}, {'ZCARD', KEYS[1]}, {'ZMSCORE', KEYS[1], ''},
	{'ZRANGEBYLEX', KEYS[1], '-', '+'}, {'ZRANGEBYSCORE', KEYS[1], 0, 0},
	{'XADD', KEYS[1], 'NOMKSTREAM', '*', 'a', 'b'}, {'XINFO', 'STREAM', KEYS[1]}, {'XRANGE', KEYS[1], '-', '+'},
	{'XREVRANGE', KEYS[1], '+', '-'}, {'XREAD', 'STREAMS', KEYS[1], '0'}, {'TIME'},
}) do
	local said = redis.pcall(unpack(command))
	if type(said) == 'table' and said.err and (string.find(said.err, '^NOPERM') or string.find(said.err, 'user executing the script', 1, true)) then
		refused[#refused + 1] = string.lower(command[1])
	end
end
return refused
