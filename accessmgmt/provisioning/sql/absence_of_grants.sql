-- The proof: what of the roles is left (nothing, it is hoped). On a standby the same question is asked again.
-- `names` and `oids` are pairs; OID 0 stands for one that nobody knows. One row for each pair. `owning_sets` says the
-- same in each: which capability roles own something, as roles_of_grants.sql does.
WITH wanted AS (
    SELECT w.number, w.name, nullif(w.oid, 0) AS oid
    FROM unnest(%(names)s::name[], %(oids)s::oid[]) WITH ORDINALITY w (name, oid, number)
), sessions AS (
    SELECT a.usesysid AS oid, count(*) AS found FROM pg_stat_activity a
    WHERE a.usesysid = ANY (%(oids)s::oid[]) GROUP BY 1
), dependencies AS (
    SELECT s.refobjid AS oid, count(*) AS found FROM pg_shdepend s
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = ANY (%(oids)s::oid[]) GROUP BY 1
), owning AS MATERIALIZED (
    -- Capability roles that own something: somebody has stepped into them, and left it there.
    SELECT r.oid, r.rolname FROM pg_roles r
    WHERE r.rolname = ANY (%(sets)s::name[]) AND EXISTS (
        SELECT FROM pg_shdepend s
        WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid AND s.deptype = 'o'
          AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass))
)
SELECT w.number, (SELECT count(*) FROM pg_roles r WHERE r.rolname = w.name)
                 + (SELECT count(*) FROM pg_roles r WHERE r.oid = w.oid) AS roles,
       coalesce(sessions.found, 0) AS sessions, coalesce(dependencies.found, 0) AS dependencies,
       ARRAY(SELECT o.oid || chr(10) || o.rolname || chr(10) || coalesce(shobj_description(o.oid, 'pg_authid'), '')
             FROM owning o) AS owning_sets,
       clock_timestamp() AS verified_at
FROM wanted w LEFT JOIN sessions USING (oid) LEFT JOIN dependencies USING (oid)
ORDER BY w.number
