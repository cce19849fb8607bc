"""Let the database itself refuse to change or remove audit rows."""

from django.db import migrations

TABLES = ("accessmgmt_auditevent", "accessmgmt_auditseal")

CREATE = """
CREATE FUNCTION accessmgmt_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit rows cannot be changed or removed (% on %)', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;
""" + "".join(
    f"""
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION accessmgmt_refuse_change();
CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION accessmgmt_refuse_change();
"""
    for table in TABLES
)

DROP = (
    "".join(
        f"DROP TRIGGER {table}_append_only ON {table}; DROP TRIGGER {table}_no_truncate ON {table};" for table in TABLES
    )
    + "DROP FUNCTION accessmgmt_refuse_change();"
)


class Migration(migrations.Migration):
    dependencies = [("accessmgmt", "0001_initial")]

    operations = [migrations.RunSQL(CREATE, DROP)]
