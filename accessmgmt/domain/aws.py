"""Where a secret lies in AWS Secrets Manager: the region, and the secret's name or ARN, which have to agree."""

from __future__ import annotations

import re

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.texts import find_unseen, spell_out, strip_unseen, unseen_error

REGION = re.compile(r"[a-z]{2,5}(?:-[a-z]{2,12}){1,3}-[1-9][0-9]?")
NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
ARN = re.compile(
    r"arn:(?P<partition>aws(?:-[a-z]{2,8}){0,3}):secretsmanager:(?P<region>[a-z0-9-]{1,40}):[0-9]{12}:secret:(?P<name>.+)"
)


def read_region(text: str) -> str:
    """Return a region's code, such as us-east-1. Raises InvalidError for its name ("Frankfurt") and anything else."""
    region = strip_unseen(text).lower()
    if REGION.fullmatch(region) is None:
        raise InvalidError(
            f"“{spell_out(strip_unseen(text))}” is not the code of an AWS region.",
            todo="Write it like us-east-1 or eu-central-1.",
        )
    return region


def read_secret_name(text: str) -> str:
    """Return a secret's name, or its ARN. Raises InvalidError for what AWS would not take as either."""
    name = strip_unseen(text)
    if (place := find_unseen(name, is_exact=True)) is not None:
        raise unseen_error("The secret's name", name, place)
    arn = ARN.fullmatch(name)
    if name.lower().startswith("arn:") and arn is None:
        raise InvalidError(
            "This is not the ARN of a secret.",
            todo="Write it like arn:aws:secretsmanager:us-east-1:123456789012:secret:postgres-AbCdEf.",
        )
    if NAME.fullmatch(arn["name"] if arn else name) is None:
        raise InvalidError(
            f"“{spell_out(name)}” is not the name of a secret.",
            why="AWS takes letters, digits and /_+=.@- in it, at most 512.",
            todo="Copy the name or the ARN from Secrets Manager.",
        )
    return name


def region_of(secret_name: str) -> str:
    """Return the region that an ARN names; "" for a name."""
    found = ARN.fullmatch(secret_name)
    return found["region"] if found else ""


def check_place(region: str, secret_name: str) -> None:
    """Raise InvalidError when region and secret cannot be, or when an ARN names another region: it would be looked for
    in the wrong one, and another secret of this name may be there.
    """
    read_region(region)
    read_secret_name(secret_name)
    said = region_of(secret_name)
    if said and said != region:
        raise InvalidError(
            f"The ARN is of the region {said}, not of {region}.",
            todo=f"Write {said} as the region, or the ARN of the secret in {region}.",
        )
