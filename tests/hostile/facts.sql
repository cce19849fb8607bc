-- What is true of the connected database, as rows of kind, thing, who, what, by. A role that is gone is written as #oid.
-- `who` is the grantee of a right, and else the owner of what the row is about.
-- What belongs to an extension is left out: it cannot be changed but with the extension.
WITH who AS MATERIALIZED (SELECT oid, rolname::text AS name FROM pg_authid UNION ALL SELECT 0, 'PUBLIC'),
inner_part AS MATERIALIZED (SELECT d.classid, d.objid FROM pg_depend d WHERE d.deptype = 'e'),
acls (classid, objid, objsubid, acl) AS (
    SELECT 'pg_class'::regclass::oid, c.oid, 0,
           coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
    FROM pg_class c LEFT JOIN pg_init_privs i ON i.classoid = 'pg_class'::regclass AND i.objoid = c.oid AND i.objsubid = 0
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND (c.oid >= 16384 OR c.relacl IS DISTINCT FROM i.initprivs)
      AND c.relnamespace <> 'information_schema'::regnamespace
    UNION ALL
    SELECT 'pg_class'::regclass, a.attrelid, a.attnum, a.attacl
    FROM pg_attribute a LEFT JOIN pg_init_privs i
      ON i.classoid = 'pg_class'::regclass AND i.objoid = a.attrelid AND i.objsubid = a.attnum
    WHERE a.attacl IS NOT NULL AND a.attacl IS DISTINCT FROM i.initprivs
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid, 0, coalesce(p.proacl, acldefault('f', p.proowner))
    FROM pg_proc p LEFT JOIN pg_init_privs i ON i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid
    WHERE ((p.oid >= 16384 AND i.initprivs IS NULL) OR p.proacl IS DISTINCT FROM i.initprivs)
      -- The constructors of a range type belong to it, and have a superuser for owner.
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
    UNION ALL
    SELECT 'pg_namespace'::regclass, n.oid, 0, coalesce(n.nspacl, acldefault('n', n.nspowner))
    FROM pg_namespace n WHERE n.nspname !~ '^pg_(toast|temp)'
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid, 0, coalesce(t.typacl, acldefault('T', t.typowner))
    FROM pg_type t LEFT JOIN pg_class r ON r.oid = t.typrelid
    WHERE t.typelem = 0 AND coalesce(r.relkind, 'c') = 'c' AND (t.oid >= 16384 OR t.typacl IS NOT NULL)
      AND t.typtype <> 'm'
    UNION ALL
    SELECT 'pg_language'::regclass, l.oid, 0, coalesce(l.lanacl, acldefault('l', l.lanowner)) FROM pg_language l
    UNION ALL
    SELECT 'pg_foreign_data_wrapper'::regclass, f.oid, 0, coalesce(f.fdwacl, acldefault('F', f.fdwowner))
    FROM pg_foreign_data_wrapper f
    UNION ALL
    SELECT 'pg_foreign_server'::regclass, s.oid, 0, coalesce(s.srvacl, acldefault('S', s.srvowner)) FROM pg_foreign_server s
    UNION ALL
    SELECT 'pg_largeobject'::regclass, l.oid, 0, coalesce(l.lomacl, acldefault('L', l.lomowner))
    FROM pg_largeobject_metadata l
),
definitions (kind, classid, objid, owner, what, by) AS (
    SELECT 'code', 'pg_proc'::regclass::oid, p.oid, p.proowner,
           concat_ws(' ', CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' END, md5(p.prosrc), p.proconfig::text), ''
    FROM pg_proc p WHERE p.oid >= 16384
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
    UNION ALL
    SELECT 'view', 'pg_class'::regclass, v.oid, v.relowner, md5(pg_get_viewdef(v.oid)), ''
    FROM pg_class v WHERE v.relkind IN ('v', 'm') AND v.oid >= 16384
    UNION ALL
    SELECT 'trigger', 'pg_class'::regclass, t.tgrelid, r.relowner,
           concat_ws(' ', t.tgname, t.tgenabled, md5(pg_get_triggerdef(t.oid))), p.oid::regprocedure::text
    FROM pg_trigger t JOIN pg_class r ON r.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'rule', 'pg_class'::regclass, w.ev_class, r.relowner,
           concat_ws(' ', w.rulename, w.ev_enabled, md5(pg_get_ruledef(w.oid))), ''
    FROM pg_rewrite w JOIN pg_class r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN' AND r.oid >= 16384
    UNION ALL
    SELECT 'policy', 'pg_class'::regclass, p.polrelid, r.relowner,
           concat_ws(' ', p.polname, p.polcmd, array_to_string(p.polroles::regrole[], ',')),
           concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_policy p JOIN pg_class r ON r.oid = p.polrelid
    UNION ALL
    SELECT CASE c.contype WHEN 'f' THEN 'foreign key' ELSE 'constraint' END, 'pg_class'::regclass, c.conrelid, r.relowner,
           concat_ws(' ', c.conname, pg_get_constraintdef(c.oid)), coalesce(f.oid::regclass::text, '')
    FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid LEFT JOIN pg_class f ON f.oid = c.confrelid
    WHERE c.contype <> 'n' AND r.oid >= 16384
    UNION ALL
    SELECT 'default', 'pg_class'::regclass, d.adrelid, r.relowner, concat_ws(' ', d.adnum, pg_get_expr(d.adbin, d.adrelid)), ''
    FROM pg_attrdef d JOIN pg_class r ON r.oid = d.adrelid
    UNION ALL
    SELECT 'index', 'pg_class'::regclass, i.indrelid, r.relowner, pg_get_indexdef(i.indexrelid), ''
    FROM pg_index i JOIN pg_class r ON r.oid = i.indrelid WHERE r.oid >= 16384 AND r.relkind <> 't'
    UNION ALL
    SELECT 'column', 'pg_class'::regclass, a.attrelid, r.relowner, concat_ws(' ', a.attname, a.atttypid::regtype), ''
    FROM pg_attribute a JOIN pg_class r ON r.oid = a.attrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND r.oid >= 16384 AND r.relkind IN ('r', 'p', 'f')
    UNION ALL
    SELECT 'security', 'pg_class'::regclass, r.oid, r.relowner, concat_ws(' ', r.relrowsecurity, r.relforcerowsecurity), ''
    FROM pg_class r WHERE r.relrowsecurity
    UNION ALL
    SELECT 'inherits', 'pg_class'::regclass, h.inhrelid, r.relowner, h.inhparent::regclass::text, ''
    FROM pg_inherits h JOIN pg_class r ON r.oid = h.inhrelid WHERE r.relkind <> 'i'
    UNION ALL
    SELECT 'event trigger', 'pg_event_trigger'::regclass, e.oid, e.evtowner, concat_ws(' ', e.evtevent, e.evtenabled), e.evtfoid::regproc::text
    FROM pg_event_trigger e
    UNION ALL
    SELECT 'publication', 'pg_publication'::regclass, p.oid, p.pubowner, coalesce(t.prrelid::regclass::text, ''), ''
    FROM pg_publication p LEFT JOIN pg_publication_rel t ON t.prpubid = p.oid
    UNION ALL
    SELECT 'extension', 'pg_extension'::regclass, e.oid, e.extowner, '', '' FROM pg_extension e
    UNION ALL
    SELECT 'cast', 'pg_cast'::regclass, c.oid, NULL, concat_ws(' ', c.castcontext, c.castfunc::regprocedure), '' FROM pg_cast c
    WHERE c.oid >= 16384
    UNION ALL
    SELECT 'user mapping', 'pg_user_mapping'::regclass, m.oid, m.umuser, '', '' FROM pg_user_mapping m
    UNION ALL
    SELECT 'comment', d.classoid, d.objoid, NULL, d.description, '' FROM pg_description d
    WHERE d.objoid >= 16384 AND d.classoid NOT IN ('pg_extension'::regclass, 'pg_proc'::regclass)
    UNION ALL
    SELECT 'label', l.classoid, l.objoid, NULL, l.label, l.provider FROM pg_seclabel l
)
SELECT 'acl' AS kind, i.type || ' ' || i.identity AS thing, coalesce(w.name, '#' || x.grantee) AS who,
       x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END AS what, coalesce(b.name, '#' || x.grantor) AS by
FROM (SELECT a.* FROM acls a
      WHERE (a.classid, a.objid) NOT IN (SELECT p.classid, p.objid FROM inner_part p) OR a.objsubid <> 0
         OR a.classid IN ('pg_foreign_data_wrapper'::regclass, 'pg_language'::regclass)) a
CROSS JOIN LATERAL pg_identify_object(a.classid, a.objid, a.objsubid) i CROSS JOIN LATERAL aclexplode(a.acl) x
LEFT JOIN who w ON w.oid = x.grantee LEFT JOIN who b ON b.oid = x.grantor
UNION ALL
SELECT 'owner', i.type || ' ' || i.identity, coalesce(w.name, '#' || s.refobjid), '', ''
FROM pg_shdepend s CROSS JOIN LATERAL pg_identify_object(s.classid, s.objid, s.objsubid) i
LEFT JOIN who w ON w.oid = s.refobjid
WHERE s.deptype = 'o' AND s.refclassid = 'pg_authid'::regclass
  AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)
  AND s.dbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
UNION ALL
SELECT d.kind, i.type || ' ' || i.identity, coalesce(w.name, '#' || d.owner, ''), d.what, d.by
FROM definitions d CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) i LEFT JOIN who w ON w.oid = d.owner
WHERE (d.classid, d.objid) NOT IN (SELECT p.classid, p.objid FROM inner_part p)
UNION ALL
SELECT 'default acl', concat_ws(' ', coalesce(o.name, '#' || f.defaclrole), coalesce(n.nspname, 'everywhere'), f.defaclobjtype),
       coalesce(w.name, '#' || x.grantee), x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END,
       coalesce(b.name, '#' || x.grantor)
FROM pg_default_acl f LEFT JOIN pg_namespace n ON n.oid = f.defaclnamespace LEFT JOIN who o ON o.oid = f.defaclrole
CROSS JOIN LATERAL aclexplode(f.defaclacl) x LEFT JOIN who w ON w.oid = x.grantee LEFT JOIN who b ON b.oid = x.grantor
