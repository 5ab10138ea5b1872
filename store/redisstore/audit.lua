-- What XINFO says of a stream, or nothing if there is none; and an error if it is something else.
local function about(stream)
	local said = redis.pcall('XINFO', 'STREAM', stream)
	if said.err then
		return nil, not string.find(said.err, 'no such key', 1, true) and said or nil
	end
	local info = {}
	for i = 1, #said, 2 do
		info[said[i]] = said[i + 1]
	end
	return info
end

-- The number of the next entry of the audit log, whose entries are numbered from 1, N-0, without gaps; or
-- nothing, and what the script is to return: why none can follow.
local function following(log, installation)
	local info, failed = about(log)
	if failed then
		return nil, failed
	end
	local newest = info and info['last-generated-id'] or '0-0'
	if newest == '0-0' then
		if redis.call('EXISTS', installation) == 1 then
			return nil, {-2, 'audit', '1', 'it was removed: making the installation was recorded'}
		end
		return '1-0'
	end
	local number = tonumber(string.match(newest, '^(%d+)%-0$') or '')
	local last = info['last-entry']
	if last and (not number or number > 1e15 or last[2][1] ~= 'entry') then
		return nil, {-2, 'audit', last[1], 'it is not an entry of that log: something else wrote to this key'}
	end
	if not last or last[1] ~= newest then
		return nil, {-2, 'audit', string.match(newest, '^%d+'), 'it was removed'}
	end
	return string.format('%.0f-0', number + 1)
end

