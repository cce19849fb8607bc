-- The login role as it is now, read in the transaction that made it.
SELECT r.oid::bigint AS oid,
       r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls AS is_elevated,
       ARRAY(SELECT pg_get_userbyid(m.roleid)::text FROM pg_auth_members m WHERE m.member = r.oid) AS memberships
FROM pg_roles r
WHERE r.rolname = %(role)s
