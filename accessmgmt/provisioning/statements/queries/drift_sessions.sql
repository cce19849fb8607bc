-- Sessions that outlived their role: usename is NULL, and only the OID says whose they were.
SELECT a.pid, a.usesysid::bigint AS oid, coalesce(a.datname::text, '') AS database,
       coalesce(a.application_name, '') AS application_name, a.backend_start AS started_at
FROM pg_stat_activity a
WHERE a.usename IS NULL AND a.usesysid = ANY (ARRAY(SELECT json_array_elements_text({oids}::json))::oid[])
  AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = a.usesysid)
ORDER BY a.pid
