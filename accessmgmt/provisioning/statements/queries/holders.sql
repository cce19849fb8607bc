-- Roles whose sessions may hold rights that these logins let them have: members of a login at any depth, and whoever a
-- login made a member of another role, with their own members. What such a session has open reads on after the REVOKE.
-- From the login outwards such a path first inherits (or steps in), and then only steps in: who merely inherits from a role
-- that may step into the login cannot. Up to 15 every member may step in. A superuser needs none of this, and the portal's
-- own roles administer.
WITH RECURSIVE own AS (
    SELECT r.oid FROM pg_roles r WHERE r.rolname IN (current_user, session_user, {admin_role})
), edge AS MATERIALIZED (
    SELECT m.roleid, m.member, m.grantor,
           to_jsonb(m) -> 'set_option' IS DISTINCT FROM 'false' AS can_set,
           to_jsonb(m) -> 'inherit_option' IS DISTINCT FROM 'false' AS inherits
    FROM pg_auth_members m WHERE m.member NOT IN (SELECT oid FROM own)
), holder AS (
    SELECT l.oid AS login, e.member, s.steps_in
    FROM unnest(%(oids)s::oid[]) l (oid)
    JOIN edge e ON e.roleid = l.oid
                OR e.grantor = l.oid
    CROSS JOIN LATERAL (SELECT true WHERE e.can_set UNION ALL SELECT false WHERE e.inherits) s (steps_in)
    UNION
    SELECT h.login, e.member, s.steps_in
    FROM holder h
    JOIN edge e ON e.roleid = h.member
    CROSS JOIN LATERAL (SELECT true WHERE e.can_set UNION ALL SELECT false WHERE e.inherits AND NOT h.steps_in) s (steps_in)
)
SELECT DISTINCT h.login::bigint AS login, h.member::bigint AS oid, r.rolname::text AS name
FROM holder h JOIN pg_roles r ON r.oid = h.member
WHERE NOT r.rolsuper AND h.member <> ALL (%(oids)s::oid[])
ORDER BY 1, 3
