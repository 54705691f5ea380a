"""Errors of stores: what their libraries raise becomes ours, with what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from recolor_cli.errors import FolderError, InputError, OutputError, RecolorError, UsageError
from recolor_cli.system.places import SCHEMES, scheme_of, store_of

# Classes of botocore, google-auth, azure-identity and paramiko, which are not loaded here.
_NO_CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
    "DefaultCredentialsError",
    "RefreshError",
    "CredentialUnavailableError",
}
_REFUSALS = {
    "PermissionError",
    "ClientAuthenticationError",
    "AuthenticationException",
    "PasswordRequiredException",
    "BadHostKeyException",
}
_MISSING = {"FileNotFoundError", "ResourceNotFoundError"}
_WHERE_CREDENTIALS_ARE = {
    "s3": "run `aws configure`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE; "
    "for a public bucket FSSPEC_S3_ANON=true",
    "gs": "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS; "
    "for a public bucket FSSPEC_GS_TOKEN=anon",
    "az": "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and "
    "AZURE_STORAGE_ACCOUNT_KEY",
    "sftp": "write the user into the address, sftp://USER@HOST/, and load a key with ssh-add",
}
_ALIASES = {"gcs": "gs", "abfs": "az", "abfss": "az"}
_LONGEST = 200  # characters of a store's own words


@contextmanager
def store_errors(address: str, writes: bool = False) -> Iterator[None]:
    """Call a library of a store; whatever it raises becomes an `InputError` or `OutputError`.

    Parameters
    ----------
    address : str
        Of the object or folder, for the message.
    writes : bool
        Whether it is written.
    """
    try:
        yield
    except RecolorError:
        raise
    except ImportError as error:
        package = SCHEMES[scheme_of(address)]
        raise UsageError(
            f"{store_of(address)} cannot be opened without the package {package}",
            "pip install 'recolor-cli[cloud]'",
        ) from error
    except Exception as error:
        from recolor_cli.system.memory import is_out_of_memory

        # Stores have words of their own for that, so the disk of a temporary file is full.
        is_disk_full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        if is_out_of_memory(error) or is_disk_full:
            raise
        raise _translate(error, address, writes) from error


def _translate(error: Exception, address: str, writes: bool) -> RecolorError:
    start = f"cannot write {address}: " if writes else ""
    failure = FolderError if writes else InputError  # where the reason holds for the whole store
    store = store_of(address)
    names = {name for cause in _chain(error) for name in _class_names(cause)}
    scheme = scheme_of(address)
    where = _WHERE_CREDENTIALS_ARE.get(_ALIASES.get(scheme, scheme), "log in to it")
    # adlfs has no class for it.
    if names & _NO_CREDENTIALS or "unable to connect to account" in str(error).lower():
        reason = f"no credentials for {store} were found"
        return failure(start + reason, where, reason)
    if "HostKeyError" in names:
        advice = f"{_ssh_command(address)} shows the key and asks whether to trust it"
        return failure(f"{start}{error}", advice, str(error))
    if names & _REFUSALS or any(map(_is_refusal, _chain(error))):
        reason = f"{store} refuses access"
        advice = f"check that the credentials are right and allow it: {where}"
        return failure(start + reason, advice, reason)
    is_missing = not _MISSING.isdisjoint(_class_names(error))
    if is_missing and not writes and not address.endswith("/"):
        return InputError("there is no such object", "check the address")
    if is_missing:
        reason = f"there is no {store}"
        return failure(start + reason, "check the address", reason)
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    words = " ".join(str(text).split())[:_LONGEST]
    return (OutputError if writes else InputError)(
        f"{start}{store} failed: {words}",
        "check the network and the store; the same command goes on from here",
    )


def _ssh_command(address: str) -> str:
    """Return the command that logs in to the server of an address of SFTP."""
    server = urlsplit(address)
    user = f"{server.username}@" if server.username else ""
    port = f"-p {server.port} " if server.port else ""
    return f"`ssh {port}{user}{server.hostname}`"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_refusal(error: BaseException) -> bool:
    """Tell whether a store refused access where its library has no class for that."""
    # Of azure-core, and of gcsfs, whose OSError has no number.
    codes = {getattr(error, "status_code", None), getattr(error, "code", None)}
    return not codes.isdisjoint((401, 403)) or str(error).startswith("Forbidden: ")


def _class_names(error: BaseException) -> Iterator[str]:
    return (kind.__name__ for kind in type(error).__mro__)
