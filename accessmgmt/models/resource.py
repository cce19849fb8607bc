"""A database on a PostgreSQL server."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from accessmgmt.domain.hosts import HIGHEST_PORT
from accessmgmt.domain.targets import AwsSecret, SslMode, Target
from accessmgmt.models.fields import EncryptedTextField


class Leftovers(models.TextChoices):
    """What happens to objects that a login role owns when it ends."""

    REASSIGN = "reassign", "Hand them to another role"
    KEEP = "keep", "List them, and wait for an admin"


class Resource(models.Model):
    """One row is one database on one server, with the admin credential the portal uses there.

    Fields carry the guide's names. What the guide leaves out is stored as absent (null or ""), never as a default;
    with a secret in AWS the port may be absent too, and is then the secret's.
    `paused_since` is set while nothing is given there, because of the roles in `strangers`, which bear our signed tag
    and which nobody here knows; `accepted_strangers` are those that an admin has seen.
    """

    type = models.CharField(max_length=20, default="postgres", editable=False)
    name = models.CharField(max_length=120, unique=True)
    description = models.TextField(blank=True)
    host = models.CharField(max_length=1000, blank=True)
    port = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(HIGHEST_PORT)]
    )
    database_name = models.CharField(max_length=63, blank=True)
    username = models.CharField(max_length=63, blank=True)
    password = EncryptedTextField(blank=True)

    ssl_mode = models.CharField(max_length=12, choices=[(m.value, m.value) for m in SslMode], blank=True)
    tls_root_cert = models.TextField("CA certificate", blank=True)
    tls_cert_file = models.TextField("client certificate", blank=True)
    tls_key_file = EncryptedTextField("client key", blank=True)

    use_aws_secrets = models.BooleanField("use AWS Secrets Manager", default=False)
    aws_region = models.CharField("AWS region", max_length=40, blank=True)
    aws_secret_name = models.CharField("AWS secret name", max_length=512, blank=True)
    aws_access_key_id = EncryptedTextField("AWS access key id", blank=True)
    aws_secret_access_key = EncryptedTextField("AWS secret access key", blank=True)

    max_connections = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    min_connections = models.PositiveIntegerField(null=True, blank=True)

    primary = models.ForeignKey(
        "self",
        verbose_name="primary of this standby",
        on_delete=models.PROTECT,
        related_name="standbys",
        null=True,
        blank=True,
    )
    leftovers = models.CharField(max_length=10, choices=Leftovers, default=Leftovers.REASSIGN)
    leftover_owner = models.CharField("new owner of leftovers", max_length=63, blank=True)
    is_drift_repaired = models.BooleanField("repair drift automatically", default=False)
    paused_since = models.DateTimeField(null=True, blank=True, editable=False)
    strangers = models.JSONField(default=list, blank=True, editable=False)
    accepted_strangers = models.JSONField(default=list, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(Lower("name"), name="resource_name_once_whatever_its_case"),
            models.CheckConstraint(condition=Q(type="postgres"), name="resource_type_postgres"),
            models.CheckConstraint(condition=Q(port__gte=1, port__lte=65535), name="resource_port_in_range"),
            models.CheckConstraint(
                condition=Q(ssl_mode="") | Q(ssl_mode__in=[m.value for m in SslMode]),
                name="resource_ssl_mode_known",
            ),
            models.CheckConstraint(
                condition=Q(max_connections__isnull=True)
                | Q(min_connections__isnull=True)
                | Q(min_connections__lte=F("max_connections")),
                name="resource_min_connections_at_most_max",
            ),
            models.CheckConstraint(
                condition=Q(use_aws_secrets=False) | (~Q(aws_region="") & ~Q(aws_secret_name="")),
                name="resource_aws_secret_complete",
            ),
            models.CheckConstraint(
                condition=Q(use_aws_secrets=True)
                | (~Q(host="") & ~Q(database_name="") & ~Q(username="") & Q(port__isnull=False)),
                name="resource_connection_complete",
            ),
            models.CheckConstraint(condition=Q(leftovers__in=Leftovers.values), name="resource_leftovers_known"),
            models.CheckConstraint(
                condition=Q(primary__isnull=True) | ~Q(primary=F("id")), name="resource_not_its_own_primary"
            ),
        )

    def __str__(self) -> str:
        return self.name

    def as_target(self) -> Target:
        """Return the frozen form that provisioning takes, with its primary when one is named."""
        secret = None
        if self.use_aws_secrets:
            secret = AwsSecret(
                self.aws_region, self.aws_secret_name, self.aws_access_key_id, self.aws_secret_access_key
            )
        return Target(
            resource_id=self.pk or 0,
            name=self.name,
            host=self.host,
            port=self.port or 0,
            database_name=self.database_name,
            username=self.username,
            password=self.password,
            ssl_mode=SslMode(self.ssl_mode) if self.ssl_mode else None,
            tls_root_cert=self.tls_root_cert,
            tls_cert_file=self.tls_cert_file,
            tls_key_file=self.tls_key_file,
            max_connections=self.max_connections,
            min_connections=self.min_connections,
            aws_secret=secret,
            primary=self.primary.as_target() if self.primary else None,
            leftovers=self.leftovers,
            leftover_owner=self.leftover_owner,
        )
