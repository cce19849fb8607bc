-- What a role holds in this database: relations and sequences to revoke in chunks, schemas that have to stay until that
-- is done (because of their own privileges, or of those on future objects in them), and policies made for it alone,
-- which DROP OWNED would drop with it. `is_shared` says that a login of a portal shares its own: nobody's application
-- stands behind that.
SELECT 'policy' AS kind, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name, p.polname::text AS relkind,
       c.relowner::bigint AS owner, false AS is_shared
FROM pg_policy p
JOIN pg_class c ON c.oid = p.polrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {oid}::oid = ANY (p.polroles)
UNION ALL
SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'relation' END,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind::text, c.relowner::bigint,
       coalesce(shobj_description(c.relowner, 'pg_authid') LIKE 'access-portal:%', false)
FROM pg_shdepend s
JOIN pg_class c ON c.oid = s.objid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = {oid}::oid AND s.classid = 'pg_class'::regclass
  AND s.deptype = 'a' AND s.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
GROUP BY n.nspname, c.relname, c.relkind, c.relowner
UNION ALL
SELECT DISTINCT 'schema', quote_ident(n.nspname), '', n.nspowner::bigint, false
FROM pg_shdepend s
LEFT JOIN pg_default_acl f ON s.classid = 'pg_default_acl'::regclass AND f.oid = s.objid
JOIN pg_namespace n ON n.oid = CASE s.classid WHEN 'pg_namespace'::regclass THEN s.objid ELSE f.defaclnamespace END
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = {oid}::oid AND s.deptype = 'a'
  AND s.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
ORDER BY 1, 2
