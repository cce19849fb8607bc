-- Every role that one of the grants may be: by name, and by OID (a DBA may have renamed it). One row at least.
WITH own AS (
    SELECT r.oid FROM pg_roles r WHERE r.rolname IN (current_user, session_user, {admin_role})
), mine AS MATERIALIZED (
    SELECT r.oid, r.rolname, r.rolvaliduntil, r.rolcanlogin
    FROM pg_roles r WHERE r.rolname = ANY (%(names)s::name[]) OR r.oid = ANY (%(oids)s::oid[])
), members AS (
    -- On 14 a role may hand itself on; later a DBA may do it. Who may only administer it can do nothing as it.
    SELECT m.roleid AS oid, array_agg(pg_get_userbyid(m.member)::text || chr(10) || pg_get_userbyid(m.grantor)::text)
               AS listed
    FROM pg_auth_members m
    WHERE m.roleid IN (SELECT oid FROM mine) AND m.member NOT IN (SELECT oid FROM own)
      AND NOT (m.admin_option AND to_jsonb(m) -> 'inherit_option' IS NOT DISTINCT FROM 'false'
               AND to_jsonb(m) -> 'set_option' IS NOT DISTINCT FROM 'false')
    GROUP BY 1
), passed_on AS (
    -- Memberships in other roles that it gave, where somebody let it: up to 15 they outlive it.
    SELECT m.grantor AS oid, array_agg(pg_get_userbyid(m.roleid)::text || chr(10) || pg_get_userbyid(m.member)::text)
               AS listed
    FROM pg_auth_members m WHERE m.grantor IN (SELECT oid FROM mine) AND m.roleid <> m.grantor GROUP BY 1
)
SELECT r.oid::bigint AS oid, r.rolname::text AS name, shobj_description(r.oid, 'pg_authid') AS tag,
       pg_is_in_recovery() AS in_recovery,
       r.rolvaliduntil = '-infinity' AND NOT r.rolcanlogin AS is_fenced,
       coalesce((SELECT array_agg(pg_get_userbyid(m.roleid)::text || chr(10) || pg_get_userbyid(m.grantor)::text)
                 FROM pg_auth_members m WHERE m.member = r.oid), '{{}}') AS memberships,
       coalesce(members.listed, '{{}}') AS members,
       coalesce(passed_on.listed, '{{}}') AS passed_on,
       current_user::text AS acting_as
FROM (SELECT 1) one
LEFT JOIN mine r ON true
LEFT JOIN members ON members.oid = r.oid
LEFT JOIN passed_on ON passed_on.oid = r.oid
