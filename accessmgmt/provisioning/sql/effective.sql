-- Run as the login role: what PostgreSQL says it may do on the relations of the set. Each wanted privilege has its own
-- call, because a comma list means "any of them"; for the unwanted ones that is just what is asked.
WITH {scope},
usable AS MATERIALIZED (
    SELECT s.oid, has_schema_privilege(s.oid, 'USAGE') AS is_usable FROM schema_scope s
),
checked AS MATERIALIZED (
    SELECT r.oid, r.nspname, r.relname, r.relkind, r.relacl, u.is_usable AND {has_wanted} AS is_complete,
           {has_more} AS has_more
    FROM relation r
    JOIN usable u ON u.oid = r.schema_oid
),
me AS MATERIALIZED (
    SELECT r.oid, r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls AS is_elevated
    FROM pg_roles r
    WHERE r.rolname = session_user
),
listed AS (
    SELECT c.nspname, c.relname, c.relkind
    FROM checked c
    WHERE c.is_complete
    ORDER BY c.nspname, c.relname
    LIMIT %(most)s
)
SELECT 'me' AS kind, me.oid::bigint AS oid, '' AS schema, '' AS name, '' AS relkind,
       ARRAY(SELECT pg_get_userbyid(m.roleid)::text FROM pg_auth_members m WHERE m.member = me.oid) AS words,
       ARRAY[me.is_elevated::text, clock_timestamp()::text] AS more
FROM me
UNION ALL
SELECT 'count', count(*), '', '', '', '{{}}', '{{}}' FROM checked c WHERE c.is_complete
UNION ALL
SELECT 'listed', 0, l.nspname, l.relname, l.relkind::text, '{{}}', '{{}}' FROM listed l
UNION ALL
SELECT 'lacking', c.oid::bigint, c.nspname, c.relname, c.relkind::text, '{{}}', '{{}}'
FROM checked c
WHERE NOT c.is_complete
UNION ALL
SELECT 'more', c.oid::bigint, c.nspname, c.relname, c.relkind::text, p.by_everybody, p.not_by_everybody
FROM checked c
CROSS JOIN LATERAL (
    SELECT array_remove(array_agg(CASE WHEN e.is_public THEN w END), NULL) AS by_everybody,
           array_remove(array_agg(CASE WHEN NOT e.is_public THEN w END), NULL) AS not_by_everybody
    FROM unnest(%(unwanted)s::text[]) w
    CROSS JOIN LATERAL (
        SELECT EXISTS (SELECT FROM aclexplode(c.relacl) a WHERE a.grantee = 0 AND a.privilege_type = w) AS is_public) e
    WHERE has_table_privilege(c.oid, w)) p
WHERE c.has_more
