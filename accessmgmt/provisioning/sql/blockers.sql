-- Who keeps a session waiting for a lock: pid 0 is a prepared transaction. Those that are logins of a portal may be cut.
SELECT b.pid, coalesce(r.rolname::text, '') AS role, coalesce(a.application_name, '') AS application_name,
       a.xact_start AS since, coalesce(is_ours.found, false) AS is_ours,
       CASE WHEN is_ours.found AND {is_cutting} THEN pg_terminate_backend(b.pid) ELSE false END AS is_cut
FROM (SELECT DISTINCT p.pid FROM unnest(pg_blocking_pids({pid})) p (pid)) b
LEFT JOIN pg_stat_activity a ON a.pid = b.pid
LEFT JOIN pg_roles r ON r.oid = a.usesysid
CROSS JOIN LATERAL (SELECT shobj_description(r.oid, 'pg_authid') ~ '^access-portal:[^:]+:grant:' AS found) is_ours
ORDER BY b.pid
