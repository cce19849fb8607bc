"""Move the one decision that a request held in columns of its own into a row: room for several votes a request."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

LONGEST_SECONDS = 31_536_000

# Cancelled and lapsed requests were decided by nobody: the person took it back, or the time was over. A row without a
# time, or with one that its state does not have, was not written by the portal; it must not keep the portal from moving.
MOVE = """
INSERT INTO accessmgmt_decision (request_id, asker_id, decider_id, verdict, decided_at, comment, approved_seconds)
SELECT id, user_id, decided_by_id, state, coalesce(settled_at, created_at), comment,
       CASE state WHEN 'approved' THEN approved_seconds END
  FROM accessmgmt_accessrequest
 WHERE state IN ('approved', 'denied') AND decided_by_id IS NOT NULL
 ORDER BY settled_at, id;
UPDATE accessmgmt_accessrequest SET granted_seconds = approved_seconds WHERE state = 'approved';
UPDATE accessmgmt_accessrequest SET settled_at = created_at WHERE state <> 'pending' AND settled_at IS NULL;
UPDATE accessmgmt_accessrequest SET settled_at = NULL WHERE state = 'pending' AND settled_at IS NOT NULL;
"""

# Of several votes that say the same, the last one settled the request.
MOVE_BACK = """
UPDATE accessmgmt_accessrequest r
   SET decided_by_id = d.decider_id, comment = d.comment, approved_seconds = r.granted_seconds
  FROM (SELECT DISTINCT ON (request_id, verdict) * FROM accessmgmt_decision
         ORDER BY request_id, verdict, decided_at DESC, id DESC) d
 WHERE d.request_id = r.id AND d.verdict = r.state;
UPDATE accessmgmt_accessrequest SET decided_by_id = user_id WHERE state = 'cancelled';
"""

# The foreign key keeps a vote's `asker` the person who asked, so that decision_not_by_the_asker means what it says.
# A vote locks its request, as the portal does before it: no vote comes or goes while somebody else settles it.
GUARD = """
ALTER TABLE accessmgmt_decision ADD CONSTRAINT decision_of_its_request FOREIGN KEY (request_id, asker_id)
    REFERENCES accessmgmt_accessrequest (id, user_id);

CREATE FUNCTION accessmgmt_vote_while_pending() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    request_state text;
BEGIN
    FOR request_state IN
        SELECT state FROM accessmgmt_accessrequest WHERE id IN (OLD.request_id, NEW.request_id) ORDER BY id
           FOR NO KEY UPDATE
    LOOP
        IF request_state <> 'pending' THEN
            RAISE EXCEPTION 'votes are added, changed and removed only while the request is pending'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'decision_while_pending';
        END IF;
    END LOOP;
    RETURN coalesce(NEW, OLD);
END
$$;
CREATE TRIGGER accessmgmt_decision_while_pending BEFORE INSERT OR UPDATE OR DELETE ON accessmgmt_decision
    FOR EACH ROW EXECUTE FUNCTION accessmgmt_vote_while_pending();

CREATE FUNCTION accessmgmt_settled_by_a_vote() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM accessmgmt_decision WHERE request_id = NEW.id AND verdict = NEW.state) THEN
        RAISE EXCEPTION 'a request is % only by a vote that says so', NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_settled_by_a_vote';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER accessmgmt_accessrequest_settled_by_a_vote AFTER INSERT OR UPDATE OF state ON accessmgmt_accessrequest
    FOR EACH ROW WHEN (NEW.state IN ('approved', 'denied')) EXECUTE FUNCTION accessmgmt_settled_by_a_vote();
"""
UNGUARD = """
DROP TRIGGER accessmgmt_accessrequest_settled_by_a_vote ON accessmgmt_accessrequest;
DROP FUNCTION accessmgmt_settled_by_a_vote();
DROP TRIGGER accessmgmt_decision_while_pending ON accessmgmt_decision;
DROP FUNCTION accessmgmt_vote_while_pending();
ALTER TABLE accessmgmt_decision DROP CONSTRAINT decision_of_its_request;
"""


def person(**options):
    return models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL, **options)


def present_exactly(field, **state):
    """The field has a value in the state, and none in any other."""
    has_none = f"{field}__isnull"
    return models.Q(**state, **{has_none: False}) | (~models.Q(**state) & models.Q(**{has_none: True}))


def in_range(field):
    between = {f"{field}__gte": 1, f"{field}__lte": LONGEST_SECONDS}
    return models.Q(**{f"{field}__isnull": True}) | models.Q(**between)


class Migration(migrations.Migration):
    dependencies = [("accessmgmt", "0012_resource_paused")]

    operations = [
        migrations.CreateModel(
            name="Decision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("verdict", models.CharField(choices=[("approved", "approved"), ("denied", "denied")], max_length=10)),
                ("decided_at", models.DateTimeField()),
                ("comment", models.TextField(blank=True)),
                ("approved_seconds", models.PositiveIntegerField(blank=True, null=True)),
                ("asker", person(db_index=False, related_name="+")),
                ("decider", person(related_name="decisions")),
                (
                    "request",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="decisions",
                        to="accessmgmt.accessrequest",
                    ),
                ),
            ],
            options={
                "ordering": ("decided_at", "pk"),
                "constraints": [
                    models.UniqueConstraint(fields=("request", "decider"), name="decision_once_a_person"),
                    models.CheckConstraint(
                        condition=~models.Q(decider=models.F("asker")), name="decision_not_by_the_asker"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(verdict__in=["approved", "denied"]), name="decision_verdict_known"
                    ),
                    models.CheckConstraint(
                        condition=present_exactly("approved_seconds", verdict="approved"),
                        name="decision_seconds_for_approvals",
                    ),
                    models.CheckConstraint(condition=in_range("approved_seconds"), name="decision_seconds_in_range"),
                ],
            },
        ),
        migrations.RemoveConstraint("accessrequest", "access_request_approval_complete"),
        migrations.RemoveConstraint("accessrequest", "access_request_not_decided_by_its_own_person"),
        migrations.RenameField("accessrequest", "decided_at", "settled_at"),
        migrations.AddField("accessrequest", "granted_seconds", models.PositiveIntegerField(blank=True, null=True)),
        migrations.RunSQL(MOVE, MOVE_BACK),
        migrations.RemoveField("accessrequest", "decided_by"),
        migrations.RemoveField("accessrequest", "comment"),
        migrations.RemoveField("accessrequest", "approved_seconds"),
        migrations.AddConstraint(
            "accessrequest",
            models.CheckConstraint(
                condition=models.Q(state="pending", settled_at__isnull=True)
                | (~models.Q(state="pending") & models.Q(settled_at__isnull=False)),
                name="access_request_settled_when_over",
            ),
        ),
        migrations.AddConstraint(
            "accessrequest",
            models.CheckConstraint(
                condition=present_exactly("granted_seconds", state="approved"),
                name="access_request_seconds_when_approved",
            ),
        ),
        migrations.AddConstraint(
            "accessrequest",
            models.CheckConstraint(condition=in_range("granted_seconds"), name="access_request_granted_in_range"),
        ),
        migrations.AddConstraint(
            "accessrequest",
            models.UniqueConstraint(fields=("id", "user"), name="access_request_with_its_person"),
        ),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
