-- The drift of the named relations only: read inside the transaction that mends it. A vanished relation has no row.
WITH capability AS MATERIALIZED (
    SELECT (SELECT r.oid FROM pg_roles r WHERE r.rolname = %(capability)s) AS oid
)
SELECT c.oid::bigint AS oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
       c.relkind::text AS relkind,
       ARRAY(SELECT w FROM unnest(%(wanted)s::text[]) w
             WHERE w NOT IN (SELECT a.privilege_type FROM aclexplode(c.relacl) a, capability k
                             WHERE a.grantee = k.oid)) AS lacking,
       ARRAY(SELECT a.privilege_type FROM aclexplode(c.relacl) a, capability k
             WHERE a.grantee = k.oid AND (a.is_grantable OR a.privilege_type <> ALL (%(wanted)s::text[]))
             UNION
             SELECT 'COLUMN' FROM pg_attribute t, aclexplode(t.attacl) a, capability k
             WHERE t.attrelid = c.oid AND t.attacl IS NOT NULL AND a.grantee = k.oid) AS surplus
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY (%(oids)s::oid[])
ORDER BY c.oid
