-- Roles marked as capability roles of this installation that nobody is a member of; whether the mark is true, the
-- reader proves. The admin role's own membership, by which it
-- administers what it made, does not count.
SELECT r.oid::bigint AS oid, r.rolname::text AS name, d.description AS tag
FROM pg_shdescription d
JOIN pg_roles r ON r.oid = d.objoid
WHERE d.classoid = 'pg_authid'::regclass AND starts_with(d.description, {prefix})
  AND NOT EXISTS (SELECT FROM pg_auth_members m
                  WHERE m.roleid = r.oid AND pg_get_userbyid(m.member) NOT IN (current_user, session_user, {admin_role}))
ORDER BY r.rolname
