"""Let the database itself refuse to demote, suspend or delete the last active admin."""

from django.db import migrations

# The lock makes two who demote each other wait: each statement of the function sees what was committed before it began.
CREATE = """
CREATE FUNCTION accessmgmt_last_admin_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(24315);
    IF NOT EXISTS (SELECT FROM accessmgmt_user WHERE role = 'admin' AND is_active) THEN
        RAISE EXCEPTION 'the last active admin cannot be demoted, suspended or deleted'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER accessmgmt_user_last_admin_demoted AFTER UPDATE OF role, is_active ON accessmgmt_user
    FOR EACH ROW WHEN (OLD.role = 'admin' AND OLD.is_active AND NOT (NEW.role = 'admin' AND NEW.is_active))
    EXECUTE FUNCTION accessmgmt_last_admin_stays();
CREATE TRIGGER accessmgmt_user_last_admin_deleted AFTER DELETE ON accessmgmt_user
    FOR EACH ROW WHEN (OLD.role = 'admin' AND OLD.is_active)
    EXECUTE FUNCTION accessmgmt_last_admin_stays();
"""

DROP = """
DROP TRIGGER accessmgmt_user_last_admin_demoted ON accessmgmt_user;
DROP TRIGGER accessmgmt_user_last_admin_deleted ON accessmgmt_user;
DROP FUNCTION accessmgmt_last_admin_stays();
"""


class Migration(migrations.Migration):
    dependencies = [("accessmgmt", "0009_tally_and_session_epoch")]

    operations = [migrations.RunSQL(CREATE, DROP)]
