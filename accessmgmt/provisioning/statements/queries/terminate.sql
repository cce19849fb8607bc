-- By usesysid, never by name: a session outlives DROP ROLE, and then its usename is NULL.
SELECT a.pid, a.usesysid::bigint AS oid, coalesce(a.application_name, '') AS application_name,
       a.backend_start AS started_at, pg_terminate_backend(a.pid) AS was_signalled
FROM pg_stat_activity a
WHERE a.usesysid = ANY ({oids}::oid[]) AND a.backend_start <= {until}
