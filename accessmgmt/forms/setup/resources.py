"""The form of a resource: connection, credential, TLS, pool. Secrets go in and never come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accessmgmt.domain.aws import check_place, read_region, read_secret_name, region_of
from accessmgmt.domain.certificates import check_key_matches, holds_key, tidy_certificates, tidy_key
from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.hosts import HIGHEST_PORT, read_hosts, read_port, same_hosts
from accessmgmt.domain.names import read_object_name
from accessmgmt.domain.pem import MOST_CHARACTERS as MOST_PEM_CHARACTERS
from accessmgmt.domain.pem import text_of_file
from accessmgmt.domain.secret_values import read_password
from accessmgmt.domain.targets import SslMode
from accessmgmt.domain.texts import strip_unseen
from accessmgmt.forms.base import SecretInput, SecretTextarea, SetupForm, add_invalid
from accessmgmt.forms.fields import LineField, RawField, read_or_refuse
from accessmgmt.models import Resource, TargetLook
from accessmgmt.selectors.setup.resources import live_grants_at, standby_chain_has
from accessmgmt.services.setup.resources import changed_address

CERTIFICATE_FIELDS = ("tls_root_cert", "tls_cert_file")
SECRET_FIELDS = ("password", "tls_key_file", "aws_access_key_id", "aws_secret_access_key")
UNTESTED_FIELDS = frozenset({"name", "description", "max_connections", "min_connections", "primary", "is_same_server"})
SSL_CHOICES = (
    ("", "Not set: TLS if the server offers it"),
    (SslMode.DISABLE.value, "disable: no TLS"),
    (SslMode.REQUIRE.value, "require: TLS, certificate not verified"),
    (SslMode.VERIFY_CA.value, "verify-ca: TLS, certificate verified"),
    (SslMode.VERIFY_FULL.value, "verify-full: TLS, certificate and host name verified"),
)


def small_file_input() -> forms.FileInput:
    """Return a file input that stands back behind the text box above it."""
    return forms.FileInput(attrs={"class": "form-control-sm"})


def certificate_field(label: str, help_text: str) -> RawField:
    """Return a box for certificates as PEM text."""
    box = forms.Textarea(attrs={"rows": 4, "spellcheck": "false"})
    return RawField(required=False, max_length=MOST_PEM_CHARACTERS, label=label, help_text=help_text, widget=box)


@dataclass(frozen=True, slots=True)
class Way:
    """Where a stored secret is sent to, and how well it is protected on the way."""

    host: str
    port: int | None
    ssl_mode: str
    tls_root_cert: str

    @classmethod
    def of(cls, resource: Resource) -> Way:
        """Read the way of a resource."""
        try:
            root = tidy_certificates(resource.tls_root_cert)
        except InvalidError:  # stored before every text was read
            root = resource.tls_root_cert
        return cls(same_hosts(resource.host), resource.port, resource.ssl_mode, root)


class ResourceForm(SetupForm[Resource]):
    """Checks a new or changed resource. `instance` is ready to be saved, or tested, once the form is valid."""

    host = RawField(
        required=False,
        help_text="A name or an address; several, separated by commas, are tried in turn.",
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "db1.internal.company.net"}
        ),
    )
    port = RawField(
        required=False,
        help_text="Where a secret in AWS says it: leave it empty.",
        widget=forms.NumberInput(attrs={"placeholder": "5432", "min": 1, "max": HIGHEST_PORT}),
    )
    database_name = RawField(required=False, label="Database", widget=forms.TextInput)
    username = RawField(
        required=False,
        label="User name",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    password = RawField(required=False, widget=SecretInput)
    aws_region = RawField(required=False, label="AWS region", widget=forms.TextInput)
    aws_secret_name = RawField(required=False, label="AWS secret name", widget=forms.TextInput)
    tls_root_cert = certificate_field(
        "CA certificate", "Verifies the server. Without one the system's own authorities count."
    )
    tls_cert_file = certificate_field("Client certificate", "Only where the server asks clients for a certificate.")
    clear_password = forms.BooleanField(required=False, label="Remove the stored password")
    tls_root_cert_upload = forms.FileField(required=False, label="or upload the CA file", widget=small_file_input())
    tls_cert_file_upload = forms.FileField(
        required=False, label="or upload the certificate file", widget=small_file_input()
    )
    tls_key_file = RawField(
        required=False,
        max_length=MOST_PEM_CHARACTERS,
        label="Client key",
        widget=SecretTextarea(attrs={"rows": 4, "spellcheck": "false"}),
    )
    tls_key_file_upload = forms.FileField(required=False, label="or upload the key file", widget=small_file_input())
    clear_tls_key_file = forms.BooleanField(required=False, label="Remove the stored key")
    aws_access_key_id = LineField(required=False, max_length=200, label="AWS access key id", widget=SecretInput)
    aws_secret_access_key = LineField(required=False, max_length=200, label="AWS secret access key", widget=SecretInput)
    clear_aws_keys = forms.BooleanField(required=False, label="Remove the stored keys")
    may_send_secret = forms.BooleanField(
        required=False,
        label="Use the secret's password at the new address",
        help_text="Asked only when host, port or TLS change.",
    )
    is_same_server = forms.BooleanField(
        required=False, label="It is the same server; its logins are reached under the new address"
    )

    class Meta(SetupForm.Meta):
        model = Resource
        fields = (
            "name",
            "description",
            "host",
            "port",
            "database_name",
            "primary",
            "use_aws_secrets",
            "username",
            "aws_region",
            "aws_secret_name",
            "ssl_mode",
            "tls_root_cert",
            "tls_cert_file",
            "max_connections",
            "min_connections",
        )
        labels = {
            "ssl_mode": "SSL mode",
            "max_connections": "Most connections",
            "min_connections": "Connections kept open",
            "primary": "Primary of this standby",
            "use_aws_secrets": "Read the credential from AWS Secrets Manager",
        }
        help_texts = {
            "primary": "Only for a read replica: roles are made on its primary and arrive here by replication.",
            "max_connections": (
                "Most sessions that each process of the portal opens there (never more than 4), and how many"
                " every person's login may have at a time: its CONNECTION LIMIT. Empty means 4 and 20."
            ),
        }
        error_messages = {
            "max_connections": {"min_value": "Write at least 1, or leave it empty.", "invalid": "Write a number."},
            "min_connections": {"min_value": "Write 0 or more, or leave it empty.", "invalid": "Write a number."},
            "primary": {"invalid_choice": "Choose another resource: a server is not its own standby."},
        }
        widgets = {
            **SetupForm.Meta.widgets,
            "ssl_mode": forms.Select(choices=SSL_CHOICES),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_new = self.instance.pk is None
        self.stored_way = Way.of(self.instance)
        self.stored = {name for name in SECRET_FIELDS if not self.is_new and getattr(self.instance, name)}
        self.fields["ssl_mode"] = forms.ChoiceField(choices=SSL_CHOICES, required=False, label="SSL mode")
        primary = self.fields["primary"]
        assert isinstance(primary, forms.ModelChoiceField)
        primary.queryset = Resource.objects.exclude(pk=self.instance.pk).only("name", "primary")
        primary.empty_label = "None: this server is a primary"
        self.live_grants = 0 if self.is_new else live_grants_at(self.instance).count()
        self.fields["is_same_server"].help_text = (
            f"Live grants there: {self.live_grants}. Tick this when host, port or primary change: before anything is"
            " saved, the portal asks the server at the new address for its system identifier and compares."
        )
        for name in self.stored:
            self.fields[name].help_text = "Stored. Leave empty to keep it, or write a new one."

    # --- one field ---

    def clean_host(self) -> str:
        """Return the hosts in the form in which they are used."""
        return read_or_refuse(read_hosts, self.cleaned_data["host"])

    def clean_port(self) -> int | None:
        """Return the port; None when the secret is to say it."""
        text = strip_unseen(self.cleaned_data["port"])
        return read_or_refuse(read_port, text) if text else None

    def clean_database_name(self) -> str:
        """Return the name; refuse what PostgreSQL would cut and what nobody can see."""
        return read_or_refuse(_read_name, self.cleaned_data["database_name"])

    def clean_username(self) -> str:
        """Return the name; refuse what PostgreSQL would cut and what nobody can see."""
        return read_or_refuse(_read_name, self.cleaned_data["username"])

    def clean_password(self) -> str:
        """Return the password exactly as it was written."""
        return read_or_refuse(read_password, self.cleaned_data["password"])

    def clean_aws_region(self) -> str:
        """Return the region's code."""
        return read_or_refuse(_if_any(read_region), self.cleaned_data["aws_region"])

    def clean_aws_secret_name(self) -> str:
        """Return the secret's name or ARN."""
        return read_or_refuse(_if_any(read_secret_name), self.cleaned_data["aws_secret_name"])

    def clean_primary(self) -> Resource | None:
        """Refuse a primary that is a standby of this very resource, directly or through others."""
        primary: Resource | None = self.cleaned_data["primary"]
        if primary is not None and not self.is_new and standby_chain_has(primary, self.instance):
            raise ValidationError(f"“{primary}” is itself a standby of this resource. Choose its primary.")
        return primary

    # --- the whole ---

    def clean(self) -> dict[str, Any]:
        """Check what depends on more than one field, then put the secrets into the instance."""
        super().clean()
        for name in CERTIFICATE_FIELDS:
            self._clean_certificate(name)
        self._clean_key()
        self._clean_connection()
        self._clean_pool()
        self._clean_aws()
        self._refuse_another_way()
        self._put_secrets()
        return self.cleaned_data

    def ask_secrets_again(self) -> None:
        """Say beside each secret that was written that it is not sent back. For a page that shows the form again."""
        for name in SECRET_FIELDS:
            if self.cleaned_data.get(name) and name not in self.errors:
                self.add_error(name, "Write it again: a secret is never sent back to the browser.")

    @property
    def is_to_be_asked(self) -> bool:
        """Whether the form promises that another address is the same server: that is asked before it is saved."""
        is_promised = self.cleaned_data["is_same_server"] and not self.is_new
        return bool(is_promised and changed_address(Resource.objects.get(pk=self.instance.pk), self.instance))

    @property
    def connection_errors(self) -> dict[str, Any]:
        """The errors that keep a connection from being tested: all but those of the name, the pool and so on."""
        return {name: texts for name, texts in self.errors.items() if name not in UNTESTED_FIELDS}

    def _pem(self, name: str) -> str:
        """Return what was uploaded or pasted, as it came."""
        upload = self.cleaned_data.get(f"{name}_upload")
        if upload is None:
            return self.cleaned_data.get(name) or ""
        if (upload.size or 0) > MOST_PEM_CHARACTERS:
            raise InvalidError("The file is too large to be a certificate or a key.")
        return text_of_file(upload.read())

    def _clean_certificate(self, name: str) -> None:
        pasted = text = ""
        try:
            pasted = text = self._pem(name)
            self.cleaned_data[name] = text = tidy_certificates(pasted)
        except InvalidError as error:
            self.add_error(name, str(error))
        self._show_again(name, pasted, text)

    def _show_again(self, name: str, pasted: str, text: str) -> None:
        """Keep an uploaded certificate in the text box, and never a key that somebody put there."""
        data: Any = self.data
        data = data.copy()
        submitted = str(data.get(self.add_prefix(name), ""))
        is_secret = holds_key(pasted) or holds_key(submitted)
        data[self.add_prefix(name)] = "" if is_secret else text or submitted
        self.data = data

    def _clean_key(self) -> None:
        certificate = self.cleaned_data.get("tls_cert_file", "")
        try:
            key = self.cleaned_data["tls_key_file"] = tidy_key(self._pem("tls_key_file"))
            kept = self.instance.tls_key_file if not self.cleaned_data.get("clear_tls_key_file") else ""
            if "tls_cert_file" in self.errors:
                return
            if key and not certificate:
                self.add_error("tls_cert_file", "A client key needs its certificate. Paste that as well.")
            elif certificate and not (key or kept):
                self.add_error("tls_key_file", "A client certificate needs its key. Paste that as well.")
            elif certificate:
                check_key_matches(certificate, key or kept)
        except InvalidError as error:
            self.add_error("tls_key_file", str(error))

    def _clean_connection(self) -> None:
        data = self.cleaned_data
        if data.get("use_aws_secrets"):
            return
        missing = {
            "host": "Write the host, for example db1.internal.company.net.",
            "database_name": "Write the name of the database.",
            "username": "Write the user name that the portal signs in with.",
            "port": "Write the port, for example 5432.",
        }
        for name, message in missing.items():
            if not data.get(name) and name not in self.errors:
                self.add_error(name, message)
        has_stored = "password" in self.stored and not data.get("clear_password")
        if not (data.get("password") or has_stored or data.get("tls_cert_file") or "tls_cert_file" in self.errors):
            self.add_error("password", "Write the password, or sign in with a client certificate.")

    def _clean_pool(self) -> None:
        least, most = self.cleaned_data.get("min_connections"), self.cleaned_data.get("max_connections")
        if least is not None and most is not None and least > most:
            self.add_error("min_connections", f"This is more than the most connections, {most}.")

    def _clean_aws(self) -> None:
        data = self.cleaned_data
        if not data.get("use_aws_secrets"):
            return
        if "aws_region" not in self.errors:
            data["aws_region"] = data.get("aws_region") or region_of(data.get("aws_secret_name") or "")
        for name, message in {
            "aws_region": "Write the region, for example us-east-1.",
            "aws_secret_name": "Write the name or the ARN of the secret.",
        }.items():
            if not data.get(name) and name not in self.errors:
                self.add_error(name, message)
        self._check_place()
        names = ("aws_access_key_id", "aws_secret_access_key")
        for name, other in (names, names[::-1]):
            if data.get(other) and not data.get(name):
                self.add_error(name, "An access key has two parts. Write both, or none to use the portal's own role.")

    def _check_place(self) -> None:
        """An ARN names its region: it fills an empty field, and has to be the one that was written."""
        data = self.cleaned_data
        if data.get("aws_secret_name") and data.get("aws_region"):
            try:
                check_place(data["aws_region"], data["aws_secret_name"])
            except InvalidError as error:
                self.add_error("aws_region", str(error))

    def _refuse_another_way(self) -> None:
        """Keep a stored secret from being sent to another server, or over a way that is protected in another manner."""
        data = self.cleaned_data
        if self.is_new or self.errors.keys() & {"host", "port", "ssl_mode", "tls_root_cert"}:
            return
        if Way(data["host"], data["port"], data["ssl_mode"], data["tls_root_cert"]) == self.stored_way:
            return
        uses_aws = bool(data.get("use_aws_secrets"))
        name, clear = ("aws_secret_access_key", "clear_aws_keys") if uses_aws else ("password", "clear_password")
        if data.get(name) or name in self.errors:
            return
        if name in self.stored and not data.get(clear):
            self.add_error(
                name,
                "Host, port or TLS changed. Write this again: what is stored is not sent to another server.",
            )
        elif uses_aws and not data.get("may_send_secret"):
            self.add_error(
                "may_send_secret",
                "Host, port or TLS changed. The secret's password is not sent to another server unless you say so.",
            )

    def _put_secrets(self) -> None:
        """Fill the instance: a new secret replaces, an empty one keeps, and the credential not in use is removed."""
        data = self.cleaned_data
        uses_aws = bool(data.get("use_aws_secrets"))
        cleared = {
            "password": uses_aws or data.get("clear_password"),
            "tls_key_file": not data.get("tls_cert_file") or data.get("clear_tls_key_file"),
            "aws_access_key_id": not uses_aws or data.get("clear_aws_keys"),
            "aws_secret_access_key": not uses_aws or data.get("clear_aws_keys"),
        }
        if not uses_aws:
            data["aws_region"] = data["aws_secret_name"] = ""
        for name, is_cleared in cleared.items():
            written = data.get(name) or ""
            may_write = uses_aws if name.startswith("aws") else not (uses_aws and name == "password")
            if written and may_write:
                setattr(self.instance, name, written)
            elif is_cleared:
                setattr(self.instance, name, "")


def form_of_refused_move(look: TargetLook) -> ResourceForm:
    """Return the form as it was sent when its new address was asked, without its secrets, with what came of it."""
    sent = {name.removesuffix("_id"): "" if value is None else value for name, value in look.order.items()}
    form = ResourceForm({**sent, "is_same_server": True}, instance=look.resource)
    form.full_clean()
    error = look.error or {}
    text = " ".join(part for part in (error.get("what"), error.get("why"), error.get("todo")) if part)
    add_invalid(form, InvalidError(text, fields=error.get("fields")))
    return form


def _read_name(text: str) -> str:
    return _if_any(read_object_name)(text)


def _if_any(read: Callable[[str], str]) -> Callable[[str], str]:
    """Return a reader to which nothing is nothing."""
    return lambda text: read(text) if strip_unseen(text) else ""


__all__ = ["CERTIFICATE_FIELDS", "ResourceForm", "add_invalid"]
