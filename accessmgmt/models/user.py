"""A person who signs in."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower
from django.utils.crypto import salted_hmac

from accessmgmt.domain.emails import read_address, same_address


class UserManager(BaseUserManager["User"]):
    """Makes users whose e-mail address is in normal form."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Make and store a user; without a password the account cannot log in with one."""
        user = self.model(email=read_address(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Make an admin (`manage.py createsuperuser`)."""
        return self.create_user(email, password, **{"role": User.Role.ADMIN, **fields})

    def get_by_natural_key(self, username: str | None) -> User:
        """Find by e-mail address, however it is spelt."""
        return self.get(email=same_address(username or ""))


class User(AbstractBaseUser):
    """One row is one person. The e-mail address is the sign-in name, as `domain.emails` spells it.

    A trigger keeps the last active admin from being demoted, suspended or deleted.
    """

    class Role(models.TextChoices):
        """What the person may do in the portal."""

        MEMBER = "member", "Member"
        AUDITOR = "auditor", "Auditor"
        ADMIN = "admin", "Admin"

    email = models.EmailField("e-mail address", max_length=254, unique=True)
    name = models.CharField(max_length=150, blank=True)
    role = models.CharField(max_length=10, choices=Role, default=Role.MEMBER)
    time_zone = models.CharField(max_length=64, default="UTC")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    session_epoch = models.PositiveIntegerField(default=0, editable=False)

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ("email",)
        constraints = (
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="user_email_is_lower_case"),
            models.CheckConstraint(condition=models.Q(role__in=("member", "auditor", "admin")), name="user_role_known"),
        )

    def __str__(self) -> str:
        return self.name or self.email

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Tie a session to the password, as Django does, and to `session_epoch`: adding one ends them all for good."""
        salt = "accessmgmt.models.User.session"
        return salted_hmac(salt, f"{self.session_epoch}:{self.password}", secret=secret, algorithm="sha256").hexdigest()

    @property
    def is_admin(self) -> bool:
        """Whether the person administers the portal."""
        return self.role == self.Role.ADMIN

    @property
    def is_auditor(self) -> bool:
        """Whether the person may read everything (admins may as well)."""
        return self.role in {self.Role.AUDITOR, self.Role.ADMIN}
