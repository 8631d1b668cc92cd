"""What a refused TLS certificate means for whoever can do something about it, the same for endpoints and stores."""

from __future__ import annotations


def refused_because(said: str, authorities: str) -> str:
    """A clause about a certificate that was not accepted.

    Args:
        said: OpenSSL's reason.
        authorities: name of the environment variable that names further certificate authorities.
    """
    if "expired" in said or "not yet valid" in said:
        return "the server's certificate is not valid today; renew it, or set this machine's clock"
    if "mismatch" in said:
        return "the server's certificate is for another name; correct the endpoint"
    return f"the server's certificate is not trusted; name its authority in {authorities}"
