-- What others than an object's owner gave to the role in the connected database: DROP OWNED leaves that
-- (postgres.md 5.6).
WITH entries AS (
    SELECT 'TABLE' AS kind, c.oid::regclass::text AS name, c.relowner AS owner, x.grantor, x.grantee
    FROM pg_class c, LATERAL aclexplode(c.relacl) x WHERE c.relacl IS NOT NULL AND c.relkind <> 'S'
    UNION ALL
    SELECT 'SEQUENCE', c.oid::regclass::text, c.relowner, x.grantor, x.grantee
    FROM pg_class c, LATERAL aclexplode(c.relacl) x WHERE c.relacl IS NOT NULL AND c.relkind = 'S'
    UNION ALL
    SELECT 'SCHEMA', quote_ident(n.nspname), n.nspowner, x.grantor, x.grantee
    FROM pg_namespace n, LATERAL aclexplode(n.nspacl) x
    UNION ALL
    SELECT 'ROUTINE', p.oid::regprocedure::text, p.proowner, x.grantor, x.grantee
    FROM pg_proc p, LATERAL aclexplode(p.proacl) x WHERE p.proacl IS NOT NULL
    UNION ALL
    SELECT 'DATABASE', quote_ident(d.datname), d.datdba, x.grantor, x.grantee
    FROM pg_database d, LATERAL aclexplode(d.datacl) x
)
SELECT DISTINCT e.kind, e.name, pg_get_userbyid(e.grantor)::text AS grantor
FROM entries e WHERE e.grantee = %(oid)s::oid AND e.grantor <> e.owner
ORDER BY 1, 2, 3
