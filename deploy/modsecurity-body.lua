-- Sends a response with the body that rules of ModSecurity 2.9 have made of it (the variable body), byte for byte: a
-- line with lf-string would write its line breaks as %0A. haproxy.cfg loads this when MODSEC_REWRITE is set.

-- What belongs to the old body, or to the connection.
local left_out = { ["content-length"] = true, ["transfer-encoding"] = true, ["content-encoding"] = true,
                   ["content-md5"] = true, ["digest"] = true, ["etag"] = true, ["accept-ranges"] = true,
                   ["connection"] = true, ["keep-alive"] = true, ["trailer"] = true, ["upgrade"] = true }

core.register_action("modsec_body", { "http-res" }, function(txn)
    local reply = txn:reply({ status = txn.f:status() })
    for name, values in pairs(txn.http:res_get_headers()) do
        if not left_out[name:lower()] then
            for index = 0, #values do
                reply:add_header(name, values[index])
            end
        end
    end
    reply:set_body(txn:get_var("txn.modsec.body"))
    txn:done(reply)
end)
