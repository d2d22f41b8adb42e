"""S3: endpoint and credentials from where AWS's own programs take them, and checks of both."""

from __future__ import annotations

import os
from collections.abc import Iterable
from urllib.parse import urlsplit

from pyarrow import fs

from noisescope_core.errors import NoiseScopeError, UsageError, first_line

SCHEMES = ("s3a://", "s3://")
"""Beginnings of URIs on S3: Hadoop's own and that of AWS's programs."""

REGION_OF_OTHER_STORES = "us-east-1"
"""Region to name to a store that is not AWS's: it has none, but the client asks for one."""


def on_s3(locations: Iterable[str]) -> list[str]:
    """Pick the locations that are on S3."""
    return [location for location in locations if location.startswith(SCHEMES)]


def s3_settings(local: bool) -> dict[str, str]:
    """Make the settings with which Spark reads and writes S3 as the environment says.

    Parameters
    ----------
    local : whether Spark runs on this machine alone and so has the environment of this process
    """
    settings = {
        # Read every file with a single GET. By default Hadoop 3.5 reads large files in parts.
        "fs.s3a.input.stream.type": "classic",
    }
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint := _endpoint():
        # A store that is not AWS's has no host name for each bucket, so the bucket is in the path.
        settings |= {"fs.s3a.endpoint": endpoint, "fs.s3a.path.style.access": "true"}
        region = region or REGION_OF_OTHER_STORES
    if region:
        settings["fs.s3a.endpoint.region"] = region
    if local:
        # The chain of AWS's SDK. Hadoop's own looks for keys in configurations and for no profile.
        chain = "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"
        settings["fs.s3a.aws.credentials.provider"] = chain
        # Not on a cluster, whose platform may have its own client for s3://.
        settings["fs.s3.impl"] = "org.apache.hadoop.fs.s3a.S3AFileSystem"
    return {f"spark.hadoop.{key}": setting for key, setting in settings.items()}


def refuse_credentials(locations: Iterable[str]) -> None:
    """Refuse URIs with a password, for locations are written to tables, reports and logs.

    Raises
    ------
    UsageError
        If a location or the endpoint has one; the message does not repeat the URI.
    """
    for location in (*locations, _endpoint()):
        if "://" not in location:
            continue
        place = urlsplit(location)
        # A secret key may hold a slash: then the host ends there and urlsplit sees no password.
        if place.password is not None or (on_s3([location]) and ":" in place.netloc):
            raise UsageError(
                f"a URI ({place.scheme}://) with user:password@: credentials belong in the "
                "environment, a profile or the instance's role (docs/cloud.md)"
            )


def check_buckets(locations: Iterable[str]) -> None:
    """Ask for the bucket of every location on S3: Hadoop would try for minutes before it fails.

    Raises
    ------
    NoiseScopeError
        If a bucket is not there, is closed to these credentials, or nothing answers.
    """
    for bucket in sorted({urlsplit(location).netloc for location in on_s3(locations)} - {""}):
        try:
            system, path = fs.FileSystem.from_uri(f"s3://{bucket}")
            kind = system.get_file_info(path).type
        except (OSError, ValueError) as error:
            raise NoiseScopeError(f"s3a://{bucket}: {_reason(first_line(error))}") from error
        if kind == fs.FileType.NotFound:
            raise NoiseScopeError(f"s3a://{bucket}: there is no such bucket")


def _reason(message: str) -> str:
    """Say what the message of AWS's SDK means."""
    if "NETWORK_CONNECTION" in message:
        return f"the endpoint {_endpoint() or 'of AWS'} does not answer"
    if "ACCESS_DENIED" in message:
        return (
            "access denied: the credentials found (environment, profile, instance) are refused "
            "or lack s3:ListBucket"
        )
    return message


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
