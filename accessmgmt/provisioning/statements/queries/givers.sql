-- Roles that own or gave something that another role holds, and how we may act as them: `is_held` as their owner's
-- REVOKE needs it, `may_be` by SET ROLE, `may_join` after making ourselves a member. `tag` is the role's comment.
SELECT r.oid::bigint AS oid, r.rolname::text AS name, quote_ident(r.rolname) AS quoted,
       pg_has_role(current_user, r.oid, 'USAGE') AS is_held,
       pg_has_role(session_user, r.oid, {membership}) AS may_be,
       shobj_description(r.oid, 'pg_authid') AS tag, {is_administered} AS may_join
FROM pg_roles r
WHERE r.oid = ANY ({oids}::oid[])
ORDER BY r.oid
