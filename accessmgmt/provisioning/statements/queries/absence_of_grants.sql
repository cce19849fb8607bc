-- The proof: what of the roles is left (nothing, it is hoped). On a standby the same question is asked again.
-- `names` and `oids` are pairs; OID 0 stands for one that nobody knows. One row for each pair.
WITH wanted AS (
    SELECT w.number, w.name, nullif(w.oid, 0) AS oid
    FROM unnest(%(names)s::name[], %(oids)s::oid[]) WITH ORDINALITY w (name, oid, number)
), sessions AS (
    SELECT a.usesysid AS oid, count(*) AS found FROM pg_stat_activity a
    WHERE a.usesysid = ANY (%(oids)s::oid[]) GROUP BY 1
), dependencies AS (
    SELECT s.refobjid AS oid, count(*) AS found FROM pg_shdepend s
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = ANY (%(oids)s::oid[]) GROUP BY 1
)
SELECT w.number, (SELECT count(*) FROM pg_roles r WHERE r.rolname = w.name)
                 + (SELECT count(*) FROM pg_roles r WHERE r.oid = w.oid) AS roles,
       coalesce(sessions.found, 0) AS sessions, coalesce(dependencies.found, 0) AS dependencies,
       clock_timestamp() AS verified_at
FROM wanted w LEFT JOIN sessions USING (oid) LEFT JOIN dependencies USING (oid)
ORDER BY w.number
