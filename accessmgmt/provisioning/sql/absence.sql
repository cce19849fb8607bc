-- The proof: nothing of the role is left. On a standby the same question is asked again.
SELECT (SELECT count(*) FROM pg_roles r WHERE r.rolname = %(role)s OR r.oid = ANY (%(oids)s::oid[])) AS roles,
       (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = ANY (%(oids)s::oid[])) AS sessions,
       (SELECT count(*) FROM pg_shdepend s
        WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = ANY (%(oids)s::oid[])) AS dependencies,
       clock_timestamp() AS verified_at
