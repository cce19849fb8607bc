-- Roles of others that are members of ours. The admin role's own ADMIN option (16 and later) is how it administers
-- what it made: a membership that gives ADMIN and nothing else is left out. Comments are not proved here: members that
-- pretend to be ours stand in drift_roles.sql.
WITH tagged AS MATERIALIZED (
    SELECT d.objoid AS oid
    FROM pg_shdescription d
    WHERE d.classoid = 'pg_authid'::regclass AND starts_with(d.description, {prefix})
)
SELECT pg_get_userbyid(m.roleid)::text AS granted, shobj_description(m.roleid, 'pg_authid') AS tag,
       pg_get_userbyid(m.member)::text AS member, pg_get_userbyid(m.grantor)::text AS grantor
FROM pg_auth_members m
-- IS TRUE keeps these as lookups in a hash: the planner expects one tagged role, and would compare every pair.
WHERE (m.roleid IN (SELECT t.oid FROM tagged t)) IS TRUE AND (m.member IN (SELECT t.oid FROM tagged t)) IS FALSE
  AND pg_get_userbyid(m.member) NOT IN (current_user, session_user, {admin_role})
  AND NOT (m.admin_option AND to_jsonb(m) -> 'inherit_option' IS NOT DISTINCT FROM 'false'
               AND to_jsonb(m) -> 'set_option' IS NOT DISTINCT FROM 'false')
ORDER BY 1, 3
