-- The login role as it is now, read in the transaction that made it. Fails (22012) when the server's clock has passed
-- `latest`: nobody waits for this transaction any more.
SELECT r.oid::bigint AS oid,
       1 / CASE WHEN clock_timestamp() > %(latest)s THEN 0 ELSE 1 END AS is_wanted,
       r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls AS is_elevated,
       ARRAY(SELECT pg_get_userbyid(m.roleid)::text FROM pg_auth_members m WHERE m.member = r.oid) AS memberships
FROM pg_roles r
WHERE r.rolname = %(role)s
