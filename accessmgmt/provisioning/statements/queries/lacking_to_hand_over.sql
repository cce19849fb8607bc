-- What keeps a role's objects in the connected database from being handed over: `kind` of what is lacking, and a `name`.
WITH owner AS (SELECT r.oid, r.rolsuper FROM pg_roles r WHERE r.rolname = {owner}),
home AS (SELECT d.oid, d.datname FROM pg_database d WHERE d.datname = current_database()),
owned AS (
    SELECT s.classid, s.objid, i.schema, i.type, i.identity
    FROM home, pg_shdepend s, LATERAL pg_identify_object(s.classid, s.objid, s.objsubid) i
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = {oid}::oid AND s.deptype = 'o'
      AND s.dbid IN (0, home.oid) AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)
      AND coalesce(i.schema, '') !~ '^pg_(toast_)?temp'
)
SELECT 'membership' AS kind, {owner} AS name FROM owner o WHERE NOT pg_has_role(current_user, o.oid, {membership})
UNION ALL
SELECT DISTINCT 'schema', quote_ident(n.nspname)
FROM owner o, owned w JOIN pg_namespace n ON quote_ident(n.nspname) = w.schema
WHERE NOT has_schema_privilege(o.oid, n.oid, 'CREATE')
  AND n.oid NOT IN (SELECT s.objid FROM owned s WHERE s.classid = 'pg_namespace'::regclass)
UNION ALL
-- A schema's new owner needs nothing, but who hands it over may create schemas.
SELECT 'create_here', quote_ident(home.datname)
FROM home
WHERE EXISTS (SELECT FROM owned w WHERE w.classid = 'pg_namespace'::regclass)
  AND NOT has_database_privilege(home.oid, 'CREATE')
UNION ALL
SELECT 'create_there', quote_ident(home.datname)
FROM owner o, home
WHERE EXISTS (SELECT FROM owned w WHERE w.classid = 'pg_publication'::regclass)
  AND NOT has_database_privilege(o.oid, home.oid, 'CREATE')
UNION ALL
SELECT DISTINCT 'wrapper', quote_ident(f.fdwname)
FROM owner o, owned w
JOIN pg_foreign_server v ON w.classid = 'pg_foreign_server'::regclass AND v.oid = w.objid
JOIN pg_foreign_data_wrapper f ON f.oid = v.srvfdw
WHERE NOT has_foreign_data_wrapper_privilege(o.oid, f.oid, 'USAGE')
UNION ALL
-- Last: only where nothing else is lacking is it a trigger of others that refuses.
SELECT 'event_trigger', quote_ident(e.evtname) || chr(10) || p.oid::regprocedure::text
FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid
WHERE e.evtenabled <> 'D' AND e.evtevent <> 'login' AND NOT p.prosecdef
ORDER BY 1, 2
