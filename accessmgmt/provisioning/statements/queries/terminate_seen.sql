-- One look: every session of the roles is told to end, and the processes that begin a session now are listed (`oid`
-- null). A backend is shown to belong to a role only when its start is complete, and a person can hold that up for as
-- long as they like (post_auth_delay); but it has a transaction of its own from before its sign-in is judged, and a lock
-- on that. The locks are read first, and the activity depends on them: what had completed its start meanwhile is seen.
WITH starting AS MATERIALIZED (
    SELECT coalesce(array_agg(l.pid), '{{}}') AS pids
    FROM pg_locks l
    WHERE l.locktype = 'virtualxid' AND l.pid IS NOT NULL
), activity AS MATERIALIZED (
    SELECT a.pid, a.usesysid, a.application_name, a.backend_start, a.backend_type
    FROM starting s, LATERAL pg_stat_get_activity(CASE WHEN s.pids IS NULL THEN 0 END) a
)
SELECT a.pid, a.usesysid::bigint AS oid, coalesce(a.application_name, '') AS application_name,
       a.backend_start AS started_at, pg_terminate_backend(a.pid) AS was_signalled
FROM activity a
WHERE a.usesysid = ANY ({oids}::oid[])
UNION ALL
SELECT p.pid, NULL, '', NULL, false
FROM starting s, unnest(s.pids) p (pid)
WHERE NOT EXISTS (SELECT FROM activity a
                  WHERE a.pid = p.pid AND (a.usesysid IS NOT NULL OR a.backend_type <> 'client backend'))
