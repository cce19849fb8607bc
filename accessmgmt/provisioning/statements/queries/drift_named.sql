-- Where else roles with the mark of this installation are named: what is set for them, policies written for them,
-- privileges on what others will create here, other databases in which they hold something, and CONNECT there.
WITH tagged AS MATERIALIZED (
    SELECT d.objoid AS oid, d.description AS tag
    FROM pg_shdescription d
    WHERE d.classoid = 'pg_authid'::regclass AND starts_with(d.description, {prefix})
), home AS MATERIALIZED (
    SELECT b.oid FROM pg_database b WHERE b.datname = current_database()
), mention AS MATERIALIZED (
    SELECT s.refobjid AS oid, s.dbid, s.classid, s.objid, s.deptype
    FROM pg_shdepend s
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid IN (SELECT t.oid FROM tagged t)
      AND (s.dbid <> (SELECT h.oid FROM home h)
           OR s.classid IN ('pg_policy'::regclass, 'pg_default_acl'::regclass))
), found (oid, kind, name, detail, number, is_held) AS MATERIALIZED (
    -- `is_held`: each role may set that for itself.
    SELECT s.setrole, 'setting', split_part(c.text, '=', 1), coalesce(b.datname::text, ''), 0,
           coalesce((SELECT g.context = 'user' FROM pg_settings g WHERE g.name = split_part(c.text, '=', 1)), false)
    FROM pg_db_role_setting s
    CROSS JOIN LATERAL unnest(s.setconfig) c (text)
    LEFT JOIN pg_database b ON b.oid = s.setdatabase
    WHERE s.setrole IN (SELECT t.oid FROM tagged t)
    UNION ALL
    SELECT m.oid, 'policy', quote_ident(n.nspname) || '.' || quote_ident(c.relname), p.polname::text, 0, false
    FROM mention m
    JOIN pg_policy p ON p.oid = m.objid
    JOIN pg_class c ON c.oid = p.polrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE m.classid = 'pg_policy'::regclass AND m.deptype = 'r' AND m.dbid = (SELECT h.oid FROM home h)
    UNION ALL
    SELECT m.oid, 'future ' || f.defaclobjtype::text, coalesce(quote_ident(n.nspname), ''),
           pg_get_userbyid(f.defaclrole)::text, 0, pg_has_role(current_user, f.defaclrole, 'USAGE')
    FROM mention m
    JOIN pg_default_acl f ON f.oid = m.objid
    LEFT JOIN pg_namespace n ON n.oid = f.defaclnamespace
    WHERE m.classid = 'pg_default_acl'::regclass AND m.deptype = 'a' AND m.dbid = (SELECT h.oid FROM home h)
    UNION ALL
    SELECT m.oid, 'elsewhere', b.datname::text, '', count(*), false
    FROM mention m JOIN pg_database b ON b.oid = m.dbid
    WHERE m.deptype = 'a' AND m.dbid <> (SELECT h.oid FROM home h)
    GROUP BY m.oid, b.datname
    UNION ALL
    SELECT m.oid, 'connect', b.datname::text, '', 0, pg_has_role(current_user, b.datdba, 'USAGE')
    FROM mention m JOIN pg_database b ON m.classid = 'pg_database'::regclass AND b.oid = m.objid
    WHERE m.deptype = 'a' AND b.oid <> (SELECT h.oid FROM home h)
)
SELECT f.oid::bigint AS oid, pg_get_userbyid(f.oid)::text AS role, t.tag, f.kind, f.name, f.detail, f.number, f.is_held
FROM found f JOIN tagged t ON t.oid = f.oid
ORDER BY 2, 4, 5, 6
