-- Where something still depends on the roles: database "" for shared objects.
SELECT s.refobjid::bigint AS oid, coalesce(d.datname::text, '') AS database,
       -- Default privileges and user mappings are not handed over: DROP OWNED takes them.
       bool_or(s.deptype = 'o' AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)) AS owns,
       bool_or(s.deptype = 'o' AND s.classid = 'pg_default_acl'::regclass) AS has_defaults,
       count(*) AS entries
FROM pg_shdepend s
LEFT JOIN pg_database d ON d.oid = s.dbid
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = ANY (%(oids)s::oid[])
GROUP BY 1, 2
ORDER BY 1, 2
