-- Every role that the grant may be: the one of its name, and the one of its OID (a DBA may have renamed it).
SELECT r.oid::bigint AS oid, r.rolname::text AS name, shobj_description(r.oid, 'pg_authid') AS tag,
       pg_is_in_recovery() AS in_recovery, current_setting('is_superuser') = 'on' AS is_superuser,
       coalesce((SELECT array_agg(pg_get_userbyid(m.roleid)::text || chr(10) || pg_get_userbyid(m.grantor)::text)
                 FROM pg_auth_members m WHERE m.member = r.oid), '{}') AS memberships,
       current_user::text AS acting_as
FROM (SELECT 1) one
LEFT JOIN pg_roles r ON r.rolname = %(role)s OR r.oid = %(oid)s::oid
