-- Every role that one of the grants may be: by name, and by OID (a DBA may have renamed it). One row at least.
SELECT r.oid::bigint AS oid, r.rolname::text AS name, shobj_description(r.oid, 'pg_authid') AS tag,
       pg_is_in_recovery() AS in_recovery,
       r.rolvaliduntil = '-infinity' AND NOT r.rolcanlogin AS is_fenced,
       coalesce((SELECT array_agg(pg_get_userbyid(m.roleid)::text || chr(10) || pg_get_userbyid(m.grantor)::text)
                 FROM pg_auth_members m WHERE m.member = r.oid), '{}') AS memberships,
       -- On 14 a role may hand itself on; from 15 on it has no ADMIN on itself.
       coalesce((SELECT array_agg(pg_get_userbyid(m.member)::text)
                 FROM pg_auth_members m WHERE m.roleid = r.oid AND m.grantor = r.oid), '{}') AS passed_on_to,
       current_user::text AS acting_as
FROM (SELECT 1) one
LEFT JOIN pg_roles r ON r.rolname = ANY (%(names)s::name[]) OR r.oid = ANY (%(oids)s::oid[])
