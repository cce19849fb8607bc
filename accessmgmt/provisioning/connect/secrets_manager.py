"""The credential of a target: its own fields, or a secret in AWS Secrets Manager."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from accessmgmt.domain.aws import check_place
from accessmgmt.domain.errors import InvalidError, TargetError, TargetRefused, TargetUnavailable
from accessmgmt.domain.secret_values import SecretValues, read_secret
from accessmgmt.domain.targets import AwsSecret, Target
from accessmgmt.provisioning.session.bounded import within

KEPT_SECONDS = 300.0
LONGEST_SECONDS = 8.0
REFUSALS = {
    "ResourceNotFoundException": "There is no secret of this name in this region. Correct the name or the region.",
    "AccessDeniedException": "Allow secretsmanager:GetSecretValue (and kms:Decrypt) on this secret.",
    "DecryptionFailure": "Allow kms:Decrypt on the key of this secret.",
    "InvalidRequestException": "The secret is being deleted, or has no value. Restore it or name another one.",
    "InvalidParameterException": "Correct the secret's name.",
    "UnrecognizedClientException": "The access key is not known to AWS. Correct the resource's AWS keys.",
    "InvalidClientTokenId": "The access key is not known to AWS. Correct the resource's AWS keys.",
    "InvalidSignatureException": "The secret access key is wrong. Correct the resource's AWS keys.",
    "SignatureDoesNotMatch": "The secret access key is wrong. Correct the resource's AWS keys.",
    "ExpiredTokenException": "The AWS session is over. Give the portal a lasting role.",
}

_kept: dict[AwsSecret, tuple[float, SecretValues]] = {}
_lock = threading.Lock()


def resolve_target(target: Target) -> Target:
    """Fill what is empty in the target from its secret. Own fields win; a target without a secret comes back as is.

    Values are kept for five minutes. Raises TargetRefused or TargetUnavailable.
    """
    if target.aws_secret is None:
        return target
    value = _read(target.aws_secret, target.name)
    filled = replace(
        target,
        username=target.username or value.username,
        password=target.password or value.password,
        host=target.host or value.host,
        port=target.port or value.port,
        database_name=target.database_name or value.database_name,
    )
    needed = {
        "username": filled.username,
        "password": filled.password,
        "host": filled.host,
        "dbname": filled.database_name,
    }
    missing = [key for key, text in needed.items() if not text]
    if missing:
        raise _malformed(target.name, target.aws_secret, f"It holds no {', '.join(missing)}.")
    return filled


def forget_secret(target: Target) -> bool:
    """Drop the kept value of the target's secret; say whether there is a secret that may have changed."""
    if target.aws_secret is None:
        return False
    with _lock:
        _kept.pop(target.aws_secret, None)
    return True


def _read(secret: AwsSecret, target_name: str) -> SecretValues:
    _check_place(secret, target_name)
    with _lock:
        kept = _kept.get(secret)
    if kept is not None and time.monotonic() - kept[0] < KEPT_SECONDS:
        return kept[1]
    value = _parse(_fetch(secret, target_name), secret, target_name)
    with _lock:
        _kept[secret] = (time.monotonic(), value)
    return value


def _check_place(secret: AwsSecret, target_name: str) -> None:
    try:
        check_place(secret.region, secret.name)
    except InvalidError as error:
        raise TargetRefused(
            f"The secret of “{target_name}” cannot be looked for. {error.what}", why=error.why, todo=error.todo
        ) from None


def _fetch(secret: AwsSecret, target_name: str) -> str:
    def ask() -> Any:
        client = boto3.session.Session().client(
            "secretsmanager",
            region_name=secret.region,
            aws_access_key_id=secret.access_key_id or None,
            aws_secret_access_key=secret.secret_access_key or None,
            config=Config(connect_timeout=3, read_timeout=5, retries={"max_attempts": 1}),
        )
        return client.get_secret_value(SecretId=secret.name)

    try:
        # boto3's own limits are for each read and each try.
        answer = within(LONGEST_SECONDS, ("secret", secret.region, secret.name), ask)
    except ClientError as error:
        raise _explained(error, secret, target_name) from None
    except (NoCredentialsError, PartialCredentialsError):
        raise TargetRefused(
            f"The secret of “{target_name}” cannot be read: the portal has no AWS credentials.",
            why=f"The secret is “{secret.name}” in {secret.region}.",
            todo="Give the resource an access key, or give the workers a role.",
        ) from None
    except (BotoCoreError, ValueError, TimeoutError) as error:
        raise TargetUnavailable(
            f"AWS Secrets Manager cannot be reached for “{target_name}”.",
            why=f"{type(error).__name__} for “{secret.name}” in {secret.region}.",
            todo="Look at the region's name and the network between the workers and AWS.",
        ) from None
    text = answer.get("SecretString")
    if not isinstance(text, str):
        raise _malformed(target_name, secret, "It is binary.")
    return text


def _explained(error: ClientError, secret: AwsSecret, target_name: str) -> TargetError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    what = f"The secret of “{target_name}” cannot be read."
    why = f"AWS answers {code} for “{secret.name}” in {secret.region}."
    todo = REFUSALS.get(code)
    if todo is None:
        return TargetUnavailable(what, why=why, todo="It is tried again.")
    return TargetRefused(what, why=why, todo=todo)


def _parse(text: str, secret: AwsSecret, target_name: str) -> SecretValues:
    try:
        return read_secret(text)
    except InvalidError as error:
        raise _malformed(target_name, secret, f"{error.what} {error.why}".strip()) from None


def _malformed(target_name: str, secret: AwsSecret, why: str) -> TargetRefused:
    return TargetRefused(
        f"The secret “{secret.name}” of “{target_name}” cannot be used.",
        why=why,
        todo='Store {"username", "password", "host", "port", "dbname"} as JSON, or fill the resource\'s own fields.',
    )
