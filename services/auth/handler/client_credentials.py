"""Which client asks (RFC 6749 section 2.3.1), and how OAuth says no (section 5.2)."""

import base64
from collections.abc import Mapping

from services.auth.domain.clients import ClientCredentials
from shared.errors import Malformed
from shared.http import challenges
from shared.http.forms import decode_component
from shared.http.messages import NO_STORE, Headers
from shared.http.problems import HTTPError

AUTHENTICATION_METHODS = ("client_secret_basic", "client_secret_post")  # RFC 8414 section 2


class OAuthError(HTTPError):
    """A problem (RFC 9457) that says the same in RFC 6749's words too, for clients that know those."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        """`error` is one of RFC 6749 section 5.2."""
        headers = [NO_STORE]
        if error == "invalid_client":
            headers.append((challenges.NAME, challenges.basic()))
        members = {"error": error, "error_description": detail}
        super().__init__(status, detail, headers, code=error.replace("_", "-"), members=members)


def invalid_request(detail: str) -> OAuthError:
    """The request is not one that the RFC knows."""
    return OAuthError(400, "invalid_request", detail)


def invalid_client(detail: str) -> OAuthError:
    """It does not prove to come from a client."""
    return OAuthError(401, "invalid_client", detail)


def credentials_of(headers: Headers, form: Mapping[str, str]) -> ClientCredentials:
    """What the client proves itself with: HTTP Basic, or two parameters of the form.

    Raises OAuthError: 401 without credentials that can be read, 400 for more than one.
    """
    authorization = headers.get("authorization")
    client_id, client_secret = form.get("client_id", ""), form.get("client_secret", "")
    if authorization is None:
        if not client_id or not client_secret:
            raise invalid_client("This needs the credentials of a client.")
        return ClientCredentials(client_id, client_secret)
    if client_secret or "," in authorization:  # repeated fields are joined so
        raise invalid_request("The client authenticates in more than one way.")
    credentials = basic_credentials(authorization)
    if client_id not in ("", credentials.client_id):
        raise invalid_request("The form names another client.")
    return credentials


def basic_credentials(authorization: str) -> ClientCredentials:
    """From an `Authorization` field (RFC 7617): id and secret, each form-encoded before they were joined.

    Raises OAuthError 401.
    """
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise invalid_client("This needs the credentials of a client, by HTTP Basic.")
    try:
        joined = base64.b64decode(encoded.strip(" "), validate=True).decode("ascii")
        client_id, colon, client_secret = joined.partition(":")
        credentials = ClientCredentials(decode_component(client_id), decode_component(client_secret))
    except (ValueError, Malformed):
        raise invalid_client("The credentials are not readable.") from None
    if not colon:
        raise invalid_client("The credentials are not readable.")
    return credentials
