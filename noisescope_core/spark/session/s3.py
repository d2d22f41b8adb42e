"""S3: endpoint and credentials from where AWS's own programs take them, and what is wrong there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from urllib.parse import urlsplit

from pyarrow import fs

from noisescope_core.errors import NoiseScopeError, UsageError, first_line

SCHEMES = ("s3a://", "s3://")


def on_s3(locations: Iterable[str]) -> list[str]:
    """Pick the locations that are on S3."""
    return [location for location in locations if location.startswith(SCHEMES)]


def s3_settings(local: bool) -> dict[str, str]:
    """Settings with which Spark reads and writes S3 as the environment says.

    Parameters
    ----------
    local : whether Spark runs in this process's machine alone, with this process's environment
    """
    settings = {
        # A file in one GET, whatever its size: the default of Hadoop 3.5 takes parts of large ones.
        "fs.s3a.input.stream.type": "classic",
    }
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint := _endpoint():
        # A store that is not AWS's has no host name of its own for every bucket, and any region.
        settings |= {"fs.s3a.endpoint": endpoint, "fs.s3a.path.style.access": "true"}
        region = region or "us-east-1"
    if region:
        settings["fs.s3a.endpoint.region"] = region
    if local:
        # Hadoop's own chain takes keys from configurations, and no profile.
        chain = "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"
        settings["fs.s3a.aws.credentials.provider"] = chain
        # On a cluster s3:// may be the platform's own.
        settings["fs.s3.impl"] = "org.apache.hadoop.fs.s3a.S3AFileSystem"
    return {f"spark.hadoop.{key}": setting for key, setting in settings.items()}


def refuse_credentials(locations: Iterable[str]) -> None:
    """Refuse URIs with a password: they go into tables, reports and logs.

    Raises
    ------
    UsageError
        Which does not repeat the URI.
    """
    for location in (*locations, _endpoint()):
        if "://" not in location:
            continue
        place = urlsplit(location)
        # A key with a slash in it ends what counts as the host.
        if place.password is not None or (on_s3([location]) and ":" in place.netloc):
            raise UsageError(
                f"a URI ({place.scheme}://) with user:password@: credentials belong in the "
                "environment, a profile or the instance's role (docs/cloud.md)"
            )


def check_buckets(locations: Iterable[str]) -> None:
    """Ask for the bucket of every location on S3, before a JVM tries for minutes.

    Raises
    ------
    NoiseScopeError
        If a bucket is not there, is closed to these credentials, or nothing answers.
    """
    for bucket in sorted({urlsplit(location).netloc for location in on_s3(locations)} - {""}):
        try:
            system, path = fs.FileSystem.from_uri(f"s3://{bucket}")
            found = system.get_file_info(path).type
        except (OSError, ValueError) as error:
            raise NoiseScopeError(f"s3a://{bucket}: {_reason(first_line(error))}") from error
        if found == fs.FileType.NotFound:
            raise NoiseScopeError(f"s3a://{bucket}: there is no such bucket")


def _reason(said: str) -> str:
    if "NETWORK_CONNECTION" in said:
        return f"the endpoint {_endpoint() or 'of AWS'} does not answer"
    if "ACCESS_DENIED" in said:
        return (
            "access denied: the credentials found (environment, profile, instance) are refused "
            "or lack s3:ListBucket"
        )
    return said


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
