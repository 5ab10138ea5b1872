-- Asks marque gate whether a request may go on: http-request lua.marque_require orders:read/-
-- It sets txn.marque to "admitted" where the gate said so, and nowhere else.

local gate = "http://127.0.0.1:9180"
local timeout = 4000 -- milliseconds; HAProxy 2.6 tries four times, newer ones as often as httpclient.retries says
local identity = { "marque-client-id", "marque-subject", "marque-scope", "marque-token-id" }
local handed_on = { "www-authenticate", "retry-after", "cache-control", "content-type" }
local refusals = { [400] = true, [401] = true, [403] = true, [503] = true }

-- HAProxy counts the values of a field from 0, and here lists begin with 1.
local function values(headers, name)
    local list = {}
    local i = 0
    while headers and headers[name] and headers[name][i] do
        list[#list + 1] = headers[name][i]
        i = i + 1
    end
    return list
end

local function refuse(txn, answer)
    local reply = txn:reply({ status = 503, reason = "Service Unavailable" })
    if refusals[answer.status] then
        reply = txn:reply({ status = answer.status, body = answer.body })
        for _, name in ipairs(handed_on) do
            for _, value in ipairs(values(answer.headers, name)) do
                reply:add_header(name, value)
            end
        end
    else
        reply:add_header("cache-control", "no-store")
    end
    txn:done(reply)
end

core.register_action("marque_require", { "http-req" }, function(txn, required)
    -- The requirement is the argument, which the configuration wrote. Of the request the gate gets the Authorization
    -- fields and, behind the "?", where it requires nothing, the query: to see a token in both.
    local answer = core.httpclient():get({
        url = gate .. "/require/" .. required .. "/?" .. (txn.sf:query() or ""),
        headers = { authorization = values(txn.http:req_get_headers(), "authorization") },
        timeout = timeout,
    })
    if answer.status ~= 200 then
        return refuse(txn, answer)
    end
    for _, name in ipairs(identity) do
        local said = values(answer.headers, name)
        if #said ~= 1 then
            return refuse(txn, { status = 503 })
        end
        txn.http:req_set_header(name, said[1])
    end
    txn:set_var("txn.marque", "admitted")
end, 1)
