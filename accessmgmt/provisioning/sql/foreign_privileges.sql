-- What others than an object's owner gave to the role in the connected database: DROP OWNED leaves that
-- (postgres.md 5.6).
WITH entries AS (
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
           quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name, c.relowner AS owner, x.grantor, x.grantee
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL aclexplode(c.relacl) x
    WHERE c.relacl IS NOT NULL
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
