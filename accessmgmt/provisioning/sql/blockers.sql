-- Who keeps a session waiting for a lock: pid 0 is a prepared transaction. `tag` is the comment on the session's role.
SELECT b.pid, coalesce(r.rolname::text, '') AS role, shobj_description(r.oid, 'pg_authid') AS tag,
       coalesce(a.application_name, '') AS application_name, a.xact_start AS since,
       coalesce(r.rolsuper, false) AS is_superuser
FROM (SELECT DISTINCT p.pid FROM unnest(pg_blocking_pids({pid})) p (pid)) b
LEFT JOIN pg_stat_activity a ON a.pid = b.pid
LEFT JOIN pg_roles r ON r.oid = a.usesysid
ORDER BY b.pid
