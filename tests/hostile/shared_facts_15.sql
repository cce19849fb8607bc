UNION ALL
SELECT 'acl', 'parameter ' || p.parname, coalesce(w.name, '#' || x.grantee),
       x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END, coalesce(b.name, '#' || x.grantor)
FROM pg_parameter_acl p CROSS JOIN LATERAL aclexplode(p.paracl) x
LEFT JOIN who w ON w.oid = x.grantee LEFT JOIN who b ON b.oid = x.grantor
