-- wrk script: uniformly random codes. Arguments: file of fixed-width lines, width, path prefix, seed, file for results,
-- query string.
-- A line is a code (18 characters) and, where an ETag follows it, the copy that If-None-Match names.
local CODE = 18

function init(args)
  local file = assert(io.open(args[1], "rb"))
  lines = file:read("*a")
  file:close()
  width = tonumber(args[2])
  count = #lines / width
  head = "GET " .. args[3]
  math.randomseed(tonumber(args[4]))
  tail = " HTTP/1.1\r\nHost: 127.0.0.1\r\n"
  for name, value in pairs(wrk.headers) do
    if name ~= "Host" then tail = tail .. name .. ": " .. value .. "\r\n" end
  end
  result = args[5]
  suffix = args[6] or ""
  wrk.thread:set("result", result)
end

function setup(thread)
  first = first or thread
end

function request()
  local at = math.random(0, count - 1) * width
  local code = string.sub(lines, at + 1, at + CODE)
  if width > CODE then
    return head .. code .. suffix .. tail .. "If-None-Match: " .. string.sub(lines, at + CODE + 1, at + width) .. "\r\n\r\n"
  end
  return head .. code .. suffix .. tail .. "\r\n"
end

function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local file = assert(io.open(first:get("result"), "w"))
  file:write(string.format('{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "failed": %d, "bytes": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed,
    summary.bytes))
  file:close()
end
