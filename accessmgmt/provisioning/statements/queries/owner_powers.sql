-- What a role has to lose, that shall take over what logins leave: code of a stranger may run as its owner one day. One
-- row: `found`, `powers` in words, and what a DBA needs to take them away (`attributes`, `memberships` with their
-- grantors, `oid`). Privileges on schemas, databases and foreign data wrappers are left out: it needs them to own what
-- lies there.
-- `is_chosen` asks for more: what it owns here besides leftovers, which the portal marks by writing down their list of
-- privileges, with the owner alone on it; and who else may log in with it.
WITH owner AS (SELECT r.* FROM pg_roles r WHERE r.rolname = {name}),
own_list (kind, name, has_others) AS (
    SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END,
           quote_ident(n.nspname) || '.' || quote_ident(c.relname),
           c.relacl IS NULL
           OR EXISTS (SELECT FROM aclexplode(c.relacl) x WHERE x.grantee <> c.relowner)
           OR EXISTS (SELECT FROM pg_attribute a, aclexplode(a.attacl) x
                      WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL AND x.grantee <> c.relowner)
    FROM owner o JOIN pg_class c ON c.relowner = o.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
    UNION ALL
    SELECT 'routine', p.oid::regprocedure::text,
           p.prosecdef OR p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) x WHERE x.grantee <> p.proowner)
    FROM owner o JOIN pg_proc p ON p.proowner = o.oid
    UNION ALL
    SELECT 'schema', quote_ident(n.nspname),
           n.nspacl IS NULL OR EXISTS (SELECT FROM aclexplode(n.nspacl) x WHERE x.grantee <> n.nspowner)
    FROM owner o JOIN pg_namespace n ON n.nspowner = o.oid
    UNION ALL
    SELECT 'large object', l.oid::text,
           l.lomacl IS NULL OR EXISTS (SELECT FROM aclexplode(l.lomacl) x WHERE x.grantee <> l.lomowner)
    FROM owner o JOIN pg_largeobject_metadata l ON l.lomowner = o.oid
), power (number, words) AS (
    SELECT 1, 'is a superuser' FROM owner o WHERE o.rolsuper
    UNION ALL SELECT 2, 'may create roles' FROM owner o WHERE o.rolcreaterole
    UNION ALL SELECT 3, 'may create databases' FROM owner o WHERE o.rolcreatedb
    UNION ALL SELECT 4, 'may replicate' FROM owner o WHERE o.rolreplication
    UNION ALL SELECT 5, 'bypasses row level security' FROM owner o WHERE o.rolbypassrls
    UNION ALL
    SELECT 6, 'is a member of ' || quote_ident(g.rolname)
    FROM owner o JOIN pg_auth_members m ON m.member = o.oid JOIN pg_roles g ON g.oid = m.roleid
    UNION ALL
    SELECT 7, 'holds privileges on ' || i.type || ' ' || i.identity
    FROM owner o
    JOIN pg_shdepend s ON s.refclassid = 'pg_authid'::regclass AND s.refobjid = o.oid AND s.deptype = 'a'
    JOIN pg_database d ON d.datname = current_database() AND s.dbid IN (0, d.oid)
    CROSS JOIN LATERAL pg_identify_object(s.classid, s.objid, 0) i
    WHERE s.classid NOT IN ('pg_namespace'::regclass, 'pg_database'::regclass, 'pg_auth_members'::regclass,
                            'pg_foreign_data_wrapper'::regclass)
    GROUP BY i.type, i.identity
    UNION ALL
    SELECT 8, 'can log in' FROM owner o WHERE {is_chosen} AND o.rolcanlogin
    UNION ALL
    SELECT 9, 'owns the ' || l.kind || ' ' || l.name FROM own_list l WHERE {is_chosen} AND l.has_others
    UNION ALL
    SELECT 10, 'owns the database ' || quote_ident(d.datname)
    FROM owner o JOIN pg_database d ON d.datdba = o.oid WHERE {is_chosen}
)
SELECT EXISTS (SELECT FROM owner) AS found, (SELECT o.oid::bigint FROM owner o) AS oid,
       ARRAY(SELECT a.word FROM owner o, LATERAL (VALUES (o.rolsuper, 'SUPERUSER'), (o.rolcreaterole, 'CREATEROLE'),
                 (o.rolcreatedb, 'CREATEDB'), (o.rolreplication, 'REPLICATION'), (o.rolbypassrls, 'BYPASSRLS')) a (has, word)
             WHERE a.has) AS attributes,
       ARRAY(SELECT g.rolname::text || chr(10) || pg_get_userbyid(m.grantor)::text
             FROM owner o JOIN pg_auth_members m ON m.member = o.oid JOIN pg_roles g ON g.oid = m.roleid
             ORDER BY 1) AS memberships,
       coalesce((SELECT array_agg(p.words ORDER BY p.number, p.words) FROM power p), '{{}}') AS powers
