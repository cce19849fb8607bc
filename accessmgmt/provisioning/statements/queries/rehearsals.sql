-- Roles marked as those of a connection test. A login's time is over with its VALID UNTIL, a capability role's when it
-- has no member: both are made, and the membership is revoked, in one transaction.
SELECT r.oid::bigint AS oid, r.rolname::text AS name, d.description AS tag,
       CASE WHEN starts_with(d.description, {0}) THEN coalesce(r.rolvaliduntil < clock_timestamp(), false)
            ELSE NOT EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles u ON u.oid = m.member
                             WHERE m.roleid = r.oid AND u.rolname LIKE 'jit\_rehearsal\_%') END AS is_over
FROM pg_shdescription d
JOIN pg_roles r ON r.oid = d.objoid
WHERE d.classoid = 'pg_authid'::regclass AND (starts_with(d.description, {0}) OR starts_with(d.description, {1}))
ORDER BY r.rolname
