-- Privileges of capability roles that somebody else than the owner granted: REVOKE and DROP OWNED do not remove them
-- The admin role's own grants are right where it holds grant options instead of the owner.
SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name, c.relpersistence = 't' AS is_temporary,
       c.relowner::bigint AS owner, a.grantor::bigint AS grantor_oid, pg_get_userbyid(a.grantor)::text AS grantor,
       k.oid::bigint AS grantee_oid, array_agg(a.privilege_type ORDER BY a.privilege_type) AS privileges
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL aclexplode(c.relacl) a
JOIN pg_roles k ON k.oid = a.grantee AND k.rolname = ANY (ARRAY(SELECT json_array_elements_text({names}::json))::name[])
WHERE c.relacl IS NOT NULL AND a.grantor <> c.relowner
  AND NOT (pg_get_userbyid(a.grantor) = current_user AND NOT pg_has_role(current_user, c.relowner, 'USAGE'))
GROUP BY 1, 2, 3, 4, 5, 6, 7
ORDER BY 7, 2, 6
LIMIT 500
