-- Privileges of capability roles that somebody else than the owner granted: REVOKE and DROP OWNED do not remove them
-- (postgres.md 5.6). The admin role's own grants are right where it holds grant options instead of the owner.
SELECT k.rolname::text AS role, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
       pg_get_userbyid(a.grantor)::text AS grantor,
       array_agg(a.privilege_type ORDER BY a.privilege_type) AS privileges
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL aclexplode(c.relacl) a
JOIN pg_roles k ON k.oid = a.grantee AND k.rolname = ANY (ARRAY(SELECT json_array_elements_text({names}::json))::name[])
WHERE c.relacl IS NOT NULL AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.grantor <> c.relowner
  AND NOT (pg_get_userbyid(a.grantor) = current_user AND NOT pg_has_role(current_user, c.relowner, 'USAGE'))
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
LIMIT 500
