"""The scripts in Lua that change a job in a Valkey or Redis, each in one step.

``KEYS`` are those of ``redis_store``: the stream, the table of bodies, the job, its body, and its
pieces. The table of bodies has an entry per job that is not over: its id -> ``<bytes>:<owner>``.
"""

_COUNT = """
local function open_jobs(table_key, prefix, owner)
  local jobs, own, bytes = 0, 0, 0
  local entries = redis.call('HGETALL', table_key)
  for i = 1, #entries, 2 do
    local split = string.find(entries[i + 1], ':', 1, true)
    if redis.call('EXISTS', prefix .. entries[i]) == 0 then
      redis.call('HDEL', table_key, entries[i])
    else
      jobs = jobs + 1
      bytes = bytes + tonumber(string.sub(entries[i + 1], 1, split - 1))
      if string.sub(entries[i + 1], split + 1) == owner then own = own + 1 end
    end
  end
  return {jobs, own, bytes}
end
"""

COUNT = (
    _COUNT
    + """
return open_jobs(KEYS[2], ARGV[1], ARGV[2])
"""
)
"""Counts the jobs that are not over: of all, of an owner, and the bytes of their bodies.

Arguments: the prefix of jobs, the owner.
"""

ADD = (
    _COUNT
    + """
local found = open_jobs(KEYS[2], ARGV[1], ARGV[2])
if found[1] >= tonumber(ARGV[7])
   or (ARGV[2] ~= '' and found[2] >= tonumber(ARGV[8]))
   or found[3] + tonumber(ARGV[5]) > tonumber(ARGV[9]) then return found end
local entry = redis.call('XADD', KEYS[1], '*', 'id', ARGV[3])
redis.call('HSET', KEYS[3], 'owner', ARGV[2], 'request', ARGV[4], 'nbytes', ARGV[5],
  'created', ARGV[6], 'expires', ARGV[11], 'state', 'queued', 'attempts', 0, 'entry', entry)
redis.call('PEXPIRE', KEYS[3], ARGV[10])
redis.call('PEXPIRE', KEYS[4], ARGV[10])
redis.call('HSET', KEYS[2], ARGV[3], ARGV[5] .. ':' .. ARGV[2])
return false
"""
)
"""Adds a job to the stream, or returns the counts that leave no room for it.

Arguments: the prefix of jobs, owner, id, request, bytes, time; the most jobs, of an owner, bytes;
milliseconds to keep it, the time of its end.
"""

CLAIM = """
local entry = ARGV[1]
local state = redis.call('HGET', KEYS[3], 'state')
if (state ~= 'queued' and state ~= 'running') or redis.call('HGET', KEYS[3], 'entry') ~= entry then
  redis.call('XACK', KEYS[1], ARGV[2], entry)
  redis.call('XDEL', KEYS[1], entry)
  return 0
end
redis.call('HSET', KEYS[3], 'state', 'running', 'worker', ARGV[3])
redis.call('HDEL', KEYS[3], 'done', 'total')
redis.call('HSETNX', KEYS[3], 'started', ARGV[4])
redis.call('HINCRBY', KEYS[3], 'attempts', 1)
return 1
"""
"""Makes a worker the one that works on a delivered job; an entry of a job that is over is removed.

Arguments: entry, group, worker, time.
"""

BEAT = """
local state = redis.call('HGET', KEYS[3], 'state')
if not state or state == 'queued' then return '' end
if state ~= 'running' then return state end
if redis.call('HGET', KEYS[3], 'worker') ~= ARGV[2] then return '' end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, redis.call('HGET', KEYS[3], 'entry'), 'JUSTID')
redis.call('HSET', KEYS[3], 'done', ARGV[3])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[3], 'total', ARGV[4]) end
return state
"""
"""Renews a claim, stores the progress and returns the state; empty if the claim is lost.

Arguments: group, worker, parts that are done, all parts.
"""

KEEP_PIECE = """
if redis.call('HGET', KEYS[3], 'state') ~= 'running'
   or redis.call('HGET', KEYS[3], 'worker') ~= ARGV[1] then return 0 end
local index = tonumber(ARGV[2])
if index > redis.call('LLEN', KEYS[5]) then return 0 end
if index == 0 then
  redis.call('DEL', KEYS[5])
else
  redis.call('LTRIM', KEYS[5], 0, index - 1)
end
redis.call('RPUSH', KEYS[5], ARGV[3])
redis.call('PEXPIRE', KEYS[5], redis.call('PTTL', KEYS[3]))
return 1
"""
"""Keeps a computed piece of a job in place of those from its number on; returns whether it does.

Arguments: worker, number, piece.
"""

RELEASE = """
if redis.call('HGET', KEYS[3], 'state') ~= 'running'
   or redis.call('HGET', KEYS[3], 'worker') ~= ARGV[2] then return 0 end
local entry = redis.call('HGET', KEYS[3], 'entry')
redis.call('XACK', KEYS[1], ARGV[1], entry)
redis.call('XDEL', KEYS[1], entry)
entry = redis.call('XADD', KEYS[1], '*', 'id', ARGV[3])
redis.call('HSET', KEYS[3], 'state', 'queued', 'worker', '', 'entry', entry)
redis.call('HINCRBY', KEYS[3], 'attempts', -1)
return 1
"""
"""Queues a job again, behind all others. Arguments: group, worker, id."""

FINISH = """
local state = redis.call('HGET', KEYS[3], 'state')
if state ~= 'queued' and state ~= 'running' then return 0 end
local entry = redis.call('HGET', KEYS[3], 'entry')
redis.call('HSET', KEYS[3], 'state', ARGV[3], 'finished', ARGV[4], 'expires', ARGV[5],
  'worker', '', 'head', ARGV[6], 'body', ARGV[7])
redis.call('PEXPIRE', KEYS[3], ARGV[8])
redis.call('XACK', KEYS[1], ARGV[1], entry)
redis.call('XDEL', KEYS[1], entry)
redis.call('DEL', KEYS[4], KEYS[5])
redis.call('HDEL', KEYS[2], ARGV[2])
return 1
"""
"""Stores the end of a job if it has none yet; returns whether it had none.

Arguments: group, id, state, time, the time at which it is forgotten, head and body of the outcome,
milliseconds to keep it.
"""

PURGE = """
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local found = {}
  for i = 1, #consumer, 2 do found[consumer[i]] = consumer[i + 1] end
  if found['pending'] == 0 and found['idle'] > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], found['name'])
  end
end
"""
"""Forgets workers that are gone and hold no job. Arguments: group, milliseconds of silence."""
