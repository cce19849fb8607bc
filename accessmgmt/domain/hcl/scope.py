"""What one export knows while it is written: the labels of its objects, and what the text leaves outside itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from accessmgmt.domain.hcl.writer import Comment, Reference


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A public file that belongs beside the HCL text; `path` is relative to it."""

    path: str
    content: str


@dataclass(frozen=True, slots=True)
class Loss:
    """Something the text does not say: the attribute it belongs to, what is missing, and what stands there instead."""

    where: str
    what: str
    instead: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A sensitive input of type string that whoever runs Terraform supplies."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Scope:
    """Labels by object name, and the growing lists of files, losses and variables of one export."""

    resources: Mapping[str, str]
    authorizations: Mapping[str, str]
    endpoints: Mapping[str, str]
    groups: Mapping[str, str]
    files: list[ExportFile] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)

    def lose(self, where: str, what: str, instead: str) -> Comment:
        """Record a loss and return the comment that says it at the place."""
        self.losses.append(Loss(where=where, what=what, instead=instead))
        return Comment(f"{what}: {instead}.")

    def ask(self, name: str, description: str) -> Reference:
        """Record a variable and return the reference to it."""
        self.variables.append(Variable(name=name, description=description))
        return Reference(f"var.{name}")

    def reference_to(self, kind: str, name: str, *, where: str) -> tuple[str | Reference, tuple[Comment, ...]]:
        """Return how an object of `kind` (resource, authorization, endpoint) is named, and comments for the place.

        An object outside the export is named by its text, which Terraform takes as well, and is listed as a loss.
        """
        labels = {"resource": self.resources, "authorization": self.authorizations, "endpoint": self.endpoints}
        label = labels[kind].get(name)
        if label is not None:
            return Reference(f"adaptive_{kind}.{label}.name"), ()
        comment = self.lose(where, f'The {kind} "{name}" is not part of this export', "its name stands here as text")
        return name, (comment,)
