-- What roles marked as logins were given straight, in this database: the portal never does that.
SELECT pg_get_userbyid(s.refobjid)::text AS role, t.description AS tag,
       CASE WHEN s.classid = 'pg_class'::regclass AND c.relkind = 'S' THEN 'SEQUENCE'
            WHEN s.classid = 'pg_class'::regclass THEN 'TABLE'
            WHEN s.classid = 'pg_namespace'::regclass THEN 'SCHEMA'
            WHEN s.classid = 'pg_database'::regclass THEN 'DATABASE' ELSE '' END AS word,
       CASE WHEN s.classid = 'pg_class'::regclass THEN quote_ident(n.nspname) || '.' || quote_ident(c.relname)
            WHEN s.classid = 'pg_namespace'::regclass THEN quote_ident(n.nspname)
            WHEN s.classid = 'pg_database'::regclass THEN quote_ident(current_database())
            ELSE pg_describe_object(s.classid, s.objid, s.objsubid) END AS name,
       coalesce(c.relkind::text, '') AS relkind
FROM pg_shdescription t
JOIN pg_shdepend s ON s.refclassid = 'pg_authid'::regclass AND s.refobjid = t.objoid AND s.deptype = 'a'
LEFT JOIN pg_class c ON s.classid = 'pg_class'::regclass AND c.oid = s.objid
LEFT JOIN pg_namespace n ON n.oid = CASE s.classid WHEN 'pg_namespace'::regclass THEN s.objid ELSE c.relnamespace END
JOIN pg_database b ON b.datname = current_database()
WHERE t.classoid = 'pg_authid'::regclass AND starts_with(t.description, {prefix})
  AND (s.dbid = b.oid OR (s.classid = 'pg_database'::regclass AND s.objid = b.oid))
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1, 3, 4
