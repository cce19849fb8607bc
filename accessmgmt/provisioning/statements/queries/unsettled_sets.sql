-- Capability roles in whose name somebody left something: what they own and default privileges, in any database, and
-- what they gave to others of privileges that they hold WITH GRANT OPTION, in this database and of the whole server; and
-- memberships that they gave by an ADMIN OPTION (from 16 on each member of them may, in their name).
-- No row where all is well. Relations are looked through as text first: a set may have ten thousand of them, and the
-- names of capability roles need no quotes. A role that is named in a parameter's privileges (there are none before 15,
-- so that their catalog cannot be named here) counts as if it had passed them on: whoever takes that back looks closely.
WITH own AS MATERIALIZED (
    SELECT r.oid, r.rolname FROM pg_roles r WHERE r.rolname = ANY (%(sets)s::name[])
), mention AS MATERIALIZED (
    SELECT s.refobjid AS role, s.classid, s.objid, s.objsubid, s.deptype,
           s.dbid IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())) AS is_here
    FROM own JOIN pg_shdepend s ON s.refclassid = 'pg_authid'::regclass AND s.refobjid = own.oid
), other AS MATERIALIZED (
    SELECT m.* FROM mention m
    WHERE m.deptype = 'a' AND m.is_here AND NOT (m.classid = 'pg_class'::regclass AND m.objsubid = 0)
), given (role, owner, acl) AS (
    SELECT m.role, c.relowner, c.relacl
    FROM mention m
    JOIN own ON own.oid = m.role
    JOIN pg_class c ON c.oid = m.objid
    WHERE m.deptype = 'a' AND m.is_here AND m.classid = 'pg_class'::regclass AND m.objsubid = 0
      AND c.relpersistence <> 't' AND strpos(c.relacl::text, '/' || own.rolname) > 0
    UNION ALL
    SELECT m.role, c.relowner, a.attacl
    FROM other m
    JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relpersistence <> 't'
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = m.objsubid
    UNION ALL
    SELECT m.role, p.proowner, p.proacl FROM other m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
    UNION ALL
    SELECT m.role, t.typowner, t.typacl FROM other m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
    UNION ALL
    SELECT m.role, n.nspowner, n.nspacl
    FROM other m JOIN pg_namespace n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid
    UNION ALL
    SELECT m.role, l.lanowner, l.lanacl
    FROM other m JOIN pg_language l ON m.classid = 'pg_language'::regclass AND l.oid = m.objid
    UNION ALL
    SELECT m.role, w.fdwowner, w.fdwacl
    FROM other m JOIN pg_foreign_data_wrapper w ON m.classid = 'pg_foreign_data_wrapper'::regclass AND w.oid = m.objid
    UNION ALL
    SELECT m.role, v.srvowner, v.srvacl
    FROM other m JOIN pg_foreign_server v ON m.classid = 'pg_foreign_server'::regclass AND v.oid = m.objid
    UNION ALL
    SELECT m.role, o.lomowner, o.lomacl
    FROM other m JOIN pg_largeobject_metadata o ON m.classid = 'pg_largeobject'::regclass AND o.oid = m.objid
    UNION ALL
    SELECT m.role, b.datdba, b.datacl
    FROM other m JOIN pg_database b ON m.classid = 'pg_database'::regclass AND b.oid = m.objid
    UNION ALL
    SELECT m.role, t.spcowner, t.spcacl
    FROM other m JOIN pg_tablespace t ON m.classid = 'pg_tablespace'::regclass AND t.oid = m.objid
)
SELECT own.oid::bigint AS oid, own.rolname::text AS name, coalesce(shobj_description(own.oid, 'pg_authid'), '') AS tag,
       l.owns, l.passed_on, l.has_let_in
FROM own
CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM mention m
                   WHERE m.role = own.oid AND m.deptype = 'o' AND m.classid <> 'pg_user_mapping'::regclass) AS owns,
           EXISTS (SELECT FROM given g, aclexplode(g.acl) x
                   WHERE g.role = own.oid AND g.owner <> g.role AND x.grantor = g.role)
           OR EXISTS (SELECT FROM other m
                      WHERE m.role = own.oid AND m.classid = to_regclass('pg_catalog.pg_parameter_acl')) AS passed_on,
           EXISTS (SELECT FROM pg_auth_members m WHERE m.grantor = own.oid) AS has_let_in
) l
WHERE l.owns OR l.passed_on OR l.has_let_in
