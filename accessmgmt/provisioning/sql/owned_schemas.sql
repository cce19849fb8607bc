-- Schemas of the connected database in which the role owns something that REASSIGN OWNED hands over.
SELECT DISTINCT i.schema
FROM pg_shdepend s, LATERAL pg_identify_object(s.classid, s.objid, s.objsubid) i
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = %(oid)s::oid AND s.deptype = 'o'
  AND s.dbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
  AND i.schema !~ '^pg_'
ORDER BY 1
