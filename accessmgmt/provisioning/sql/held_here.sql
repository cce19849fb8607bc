-- What a role holds in this database: relations and sequences to revoke in chunks, and policies made for it alone,
-- which DROP OWNED would drop with it.
SELECT 'policy' AS kind, p.polrelid::regclass::text AS name, p.polname::text AS relkind
FROM pg_policy p
WHERE {oid}::oid = ANY (p.polroles)
UNION ALL
SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'relation' END, c.oid::regclass::text, c.relkind::text
FROM pg_shdepend s
JOIN pg_class c ON c.oid = s.objid
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = {oid}::oid AND s.classid = 'pg_class'::regclass
  AND s.deptype = 'a' AND s.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
GROUP BY c.oid, c.relkind
ORDER BY 1, 2
