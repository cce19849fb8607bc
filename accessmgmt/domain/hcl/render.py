"""The set-up as one Terraform file, with what belongs beside it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from accessmgmt.domain.hcl import guide
from accessmgmt.domain.hcl.document import Document
from accessmgmt.domain.hcl.labels import assign_labels, order_key
from accessmgmt.domain.hcl.scope import ExportFile, Loss, Scope, Variable
from accessmgmt.domain.hcl.writer import (
    Attribute,
    Block,
    Comment,
    Element,
    Object,
    Reference,
    join_groups,
    write,
)

PROVIDER_SOURCE: Final = "adaptive-scale/adaptive"


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Spec = TypeVar("_Spec", bound=_Named)


@dataclass(frozen=True, slots=True)
class Export:
    """A rendered document.

    `text` is the .tf file; `files` are the public certificates it reads (paths relative to it); `losses` is what
    it does not say, in the order of the text; `variables` are the secrets it asks for. None of them holds a secret.
    """

    text: str
    files: tuple[ExportFile, ...]
    losses: tuple[Loss, ...]
    variables: tuple[Variable, ...]


def render(document: Document, *, with_provider_block: bool = True) -> Export:
    """Return the document in the guide's dialect, laid out as `terraform fmt` would.

    The same facts give the same bytes, in whatever order they come: objects and the members of sets are ordered by
    name, and nothing of the time or the machine is written. `with_provider_block` is for a text that stands alone:
    without it the `terraform` block is left out, as for a file added to an existing configuration.

    Raises HclTextError when a text holds NUL or a lone surrogate, DuplicateNameError when two objects of one kind
    share a name. Source: the PostgreSQL guide, "Complete Production Example".
    """
    scope = Scope(
        resources=assign_labels((spec.name for spec in document.resources), "resource"),
        authorizations=assign_labels((spec.name for spec in document.authorizations), "authorization"),
        endpoints=assign_labels((spec.name for spec in document.endpoints), "endpoint"),
        groups=assign_labels((spec.name for spec in document.groups), "group"),
    )
    sections = [
        _section("Resources", document.resources, guide.resource_block, scope),
        _section("Authorizations", document.authorizations, guide.authorization_block, scope),
        _section("Groups", document.groups, guide.group_block, scope),
        _section("Endpoints", document.endpoints, guide.endpoint_block, scope),
    ]
    preamble = [_header(scope), _provider() if with_provider_block else (), _variables(scope.variables)]
    return Export(
        text=write(join_groups([*preamble, *sections])),
        files=tuple(scope.files),
        losses=tuple(scope.losses),
        variables=tuple(scope.variables),
    )


def _section(
    heading: str, specs: Iterable[_Spec], block_of: Callable[[_Spec, Scope], Block], scope: Scope
) -> tuple[Element, ...]:
    ordered = sorted(specs, key=lambda spec: order_key(spec.name))
    return _headed_blocks(heading, [block_of(spec, scope) for spec in ordered])


def _headed_blocks(heading: str, blocks: Sequence[Block]) -> tuple[Element, ...]:
    if not blocks:
        return ()
    return join_groups([[Comment(heading)], *([block] for block in blocks)])


def _header(scope: Scope) -> tuple[Element, ...]:
    lines = ["Just-in-time access to PostgreSQL, exported by the access portal."]
    if scope.variables:
        lines += [
            "",
            "No secret is in this file. Terraform asks for the variables below, or takes them from",
            "TF_VAR_... in the environment or from a .tfvars file; keep that out of version control.",
        ]
    return tuple(Comment(line) for line in lines)


def _provider() -> tuple[Element, ...]:
    source = Object((Attribute("source", PROVIDER_SOURCE),))
    required = Block("required_providers", (), (Attribute("adaptive", source),))
    return (Block("terraform", (), (required,)),)


def _variables(variables: Sequence[Variable]) -> tuple[Element, ...]:
    blocks = [
        Block(
            "variable",
            (variable.name,),
            (
                Attribute("description", variable.description),
                Attribute("type", Reference("string")),
                Attribute("sensitive", True),
            ),
        )
        for variable in variables
    ]
    return _headed_blocks("Secrets", blocks)


__all__ = ["PROVIDER_SOURCE", "Export", "ExportFile", "Loss", "Variable", "render"]
