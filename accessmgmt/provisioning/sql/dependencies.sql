-- Where something still depends on the role: "" for shared objects, else the database.
SELECT coalesce(d.datname::text, '') AS database, bool_or(s.deptype = 'o') AS owns, count(*) AS entries
FROM pg_shdepend s
LEFT JOIN pg_database d ON d.oid = s.dbid
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = %(oid)s::oid
GROUP BY 1
ORDER BY 1
