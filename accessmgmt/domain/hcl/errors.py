"""Errors of the HCL export."""


class HclError(ValueError):
    """The set-up cannot be written as HCL."""


class HclTextError(HclError):
    """A text holds a character that HCL cannot hold: NUL, or half of a surrogate pair."""


class DuplicateNameError(HclError):
    """Two objects of one kind have the same name, so a reference to that name has no single meaning."""
