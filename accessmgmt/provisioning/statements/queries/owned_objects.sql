-- What the role owns in the connected database, and of shared objects, that a person would miss.
-- Default privileges and user mappings are no such thing (REASSIGN OWNED leaves them, DROP OWNED takes them), and
-- temporary objects end with their session.
SELECT i.type, i.identity AS name, s.dbid <> 0 AS is_local
FROM pg_shdepend s, LATERAL pg_identify_object(s.classid, s.objid, s.objsubid) i
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = {oid}::oid AND s.deptype = 'o'
  AND s.dbid IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
  AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)
  AND coalesce(i.schema, '') !~ '^pg_(toast_)?temp'
ORDER BY 1, 2
