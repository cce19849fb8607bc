-- Every role whose comment begins as the tags of this installation do (it may be forged), and every role of a name or an OID
-- that the portal believes to be its own.
-- pg_auth_members has inherit_option and set_option only from 16 on: read through jsonb, they are null before.
WITH tagged AS MATERIALIZED (
    SELECT d.objoid AS oid, d.description AS tag
    FROM pg_shdescription d
    WHERE d.classoid = 'pg_authid'::regclass AND starts_with(d.description, {prefix})
)
SELECT r.oid::bigint AS oid, r.rolname::text AS name,
       coalesce(t.tag, shobj_description(r.oid, 'pg_authid')) AS tag,
       r.rolcanlogin AS can_login, r.rolinherit AS inherits,
       array_remove(ARRAY[CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
                          CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END,
                          CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL) AS attributes,
       CASE WHEN isfinite(r.rolvaliduntil) THEN r.rolvaliduntil END AS valid_until,
       coalesce(r.rolvaliduntil = '-infinity', false) AS is_fenced,
       coalesce(m.memberships, '[]') AS memberships
FROM pg_roles r
LEFT JOIN tagged t ON t.oid = r.oid
LEFT JOIN (
    SELECT a.member,
           json_agg(json_build_array(pg_get_userbyid(a.roleid), pg_get_userbyid(a.grantor), a.admin_option,
                                     to_jsonb(a) -> 'inherit_option', to_jsonb(a) -> 'set_option',
                                     CASE WHEN {only_grantors} THEN pg_has_role(current_user, a.grantor, 'USAGE')
                                          ELSE NOT g.rolsuper END)
                    ORDER BY a.roleid, a.grantor) AS memberships
    FROM pg_auth_members a
    JOIN pg_roles g ON g.oid = a.roleid
    GROUP BY a.member) m ON m.member = r.oid
WHERE t.oid IS NOT NULL OR r.rolname = ANY (ARRAY(SELECT json_array_elements_text({names}::json))::name[])
   OR r.oid = ANY (ARRAY(SELECT json_array_elements_text({oids}::json))::oid[])
ORDER BY r.rolname
