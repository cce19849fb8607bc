"""How often something was tried, for what may not be tried without end."""

from __future__ import annotations

from django.db import models


class Tally(models.Model):
    """One row counts the tries of one kind by one name, such as wrong passwords for an account from one place.

    `key` is a digest: what people type is not kept here. After `forget_at` the row stands for nothing, and is removed.
    """

    key = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField(default=0)
    wait_until = models.DateTimeField(null=True, blank=True)
    forget_at = models.DateTimeField()

    class Meta:
        indexes = (
            # Throwing away what stands for nothing any more.
            models.Index(fields=("forget_at",), name="tally_by_forget_at"),
        )

    def __str__(self) -> str:
        return f"{self.count} until {self.forget_at:%Y-%m-%d %H:%M:%S}"
