-- What is true of the whole server, as rows of kind, thing, who, what, by. A role that is gone is written as #oid.
WITH who AS MATERIALIZED (SELECT oid, rolname::text AS name FROM pg_authid UNION ALL SELECT 0, 'PUBLIC')
SELECT 'role' AS kind, r.rolname::text AS thing, '' AS who,
       concat_ws(' ', r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication,
                 r.rolbypassrls, r.rolconnlimit, r.rolvaliduntil, md5(r.rolpassword)) AS what, '' AS by
FROM pg_authid r
UNION ALL
SELECT 'member', coalesce(g.name, '#' || m.roleid), coalesce(w.name, '#' || m.member),
       concat_ws(' ', CASE WHEN m.admin_option THEN 'admin' END,
                 CASE WHEN to_jsonb(m) ->> 'inherit_option' = 'true' THEN 'inherit' END,
                 CASE WHEN to_jsonb(m) ->> 'set_option' = 'true' THEN 'set' END),
       coalesce(b.name, '#' || m.grantor)
FROM pg_auth_members m LEFT JOIN who g ON g.oid = m.roleid LEFT JOIN who w ON w.oid = m.member
LEFT JOIN who b ON b.oid = m.grantor
UNION ALL
SELECT 'setting', coalesce(d.datname, 'any database'), CASE WHEN s.setrole = 0 THEN '' ELSE coalesce(w.name, '#' || s.setrole) END,
       x.setting, ''
FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN who w ON w.oid = s.setrole
CROSS JOIN LATERAL unnest(s.setconfig) x (setting)
UNION ALL
SELECT 'owner', 'database ' || d.datname, coalesce(w.name, '#' || d.datdba), '', ''
FROM pg_database d LEFT JOIN who w ON w.oid = d.datdba
UNION ALL
SELECT 'database', d.datname, '', concat_ws(' ', d.datallowconn, d.datconnlimit, d.datistemplate), '' FROM pg_database d
UNION ALL
SELECT 'acl', a.thing, coalesce(w.name, '#' || x.grantee), x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END,
       coalesce(b.name, '#' || x.grantor)
FROM (SELECT 'database ' || datname, coalesce(datacl, acldefault('d', datdba)) FROM pg_database
      UNION ALL SELECT 'tablespace ' || spcname, coalesce(spcacl, acldefault('t', spcowner)) FROM pg_tablespace
     ) a (thing, acl)
CROSS JOIN LATERAL aclexplode(a.acl) x LEFT JOIN who w ON w.oid = x.grantee LEFT JOIN who b ON b.oid = x.grantor
UNION ALL
SELECT 'comment', 'role ' || coalesce(w.name, '#' || s.objoid), '', s.description, ''
FROM pg_shdescription s LEFT JOIN who w ON w.oid = s.objoid WHERE s.classoid = 'pg_authid'::regclass
UNION ALL
SELECT 'slot', slot_name, '', slot_type, '' FROM pg_replication_slots
UNION ALL
SELECT 'prepared', gid, coalesce(owner, '#'), database, '' FROM pg_prepared_xacts
UNION ALL
SELECT 'subscription', s.subname, coalesce(w.name, '#' || s.subowner), CASE WHEN s.subenabled THEN 'enabled' ELSE '' END, ''
FROM pg_subscription s LEFT JOIN who w ON w.oid = s.subowner
UNION ALL
SELECT 'dangling', s.classid::regclass::text || ' ' || s.objid, '#' || s.refobjid, s.deptype::text, ''
FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass AND NOT EXISTS (SELECT FROM pg_authid r WHERE r.oid = s.refobjid)
