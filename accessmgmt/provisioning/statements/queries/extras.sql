-- Privileges beyond the wanted ones that a login has on relations: what everybody has, and what only it has.
SELECT c.oid::bigint AS oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
       coalesce(array_agg(w) FILTER (WHERE e.is_public), '{}') AS by_everybody,
       coalesce(array_agg(w) FILTER (WHERE NOT e.is_public), '{}') AS by_nobody_else
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN unnest(%(unwanted)s::text[]) w
CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM aclexplode(c.relacl) a WHERE a.grantee = 0 AND a.privilege_type = w) AS is_public) e
WHERE c.oid = ANY (%(oids)s::oid[]) AND has_table_privilege(%(login_oid)s::oid, c.oid, w)
GROUP BY c.oid, c.relname, n.nspname
ORDER BY c.oid
