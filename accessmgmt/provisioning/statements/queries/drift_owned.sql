-- What capability roles own in this database, and of shared objects: they own nothing unless somebody stepped into one,
-- which every member may do up to 15. Default privileges any member may set for it, in any version. Else what is left out
-- is what owned_objects.sql leaves out.
SELECT r.oid::bigint AS oid, r.rolname::text AS role, t.description AS tag, count(*) AS owned,
       (array_agg(CASE s.classid WHEN 'pg_default_acl'::regclass THEN 'default privileges' ELSE i.type END
                  || ' ' || i.identity ORDER BY i.type, i.identity))[1:{most}] AS listed,
       -- Whether others can run or read it with the role's rights: shared, or a routine that runs as its owner.
       bool_or(CASE s.classid
           WHEN 'pg_proc'::regclass THEN EXISTS (SELECT FROM pg_proc p WHERE p.oid = s.objid AND p.prosecdef)
           WHEN 'pg_class'::regclass THEN EXISTS (
               SELECT FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) x
               WHERE c.oid = s.objid AND x.grantee <> c.relowner)
           WHEN 'pg_largeobject'::regclass THEN EXISTS (
               SELECT FROM pg_largeobject_metadata l CROSS JOIN LATERAL aclexplode(l.lomacl) x
               WHERE l.oid = s.objid AND x.grantee <> l.lomowner)
           WHEN 'pg_default_acl'::regclass THEN true
           ELSE false END) AS is_armed
FROM pg_shdescription t
JOIN pg_roles r ON r.oid = t.objoid
JOIN pg_shdepend s ON s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid AND s.deptype = 'o'
CROSS JOIN LATERAL pg_identify_object(s.classid, s.objid, s.objsubid) i
WHERE t.classoid = 'pg_authid'::regclass AND starts_with(t.description, {prefix})
  AND s.dbid IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
  AND s.classid <> 'pg_user_mapping'::regclass
  AND coalesce(i.schema, '') !~ '^pg_(toast_)?temp'
GROUP BY 1, 2, 3
ORDER BY 2
