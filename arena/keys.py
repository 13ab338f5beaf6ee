"""What the arena's secret signs and makes: tokens, receipts, cookies, links, names of accounts.

Tokens are made from the secret, not drawn, so that a reload or another replica has the same one,
while the database holds only their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer

__all__ = ["Keys", "token_hash"]

_TOKEN_BYTES = 24


def token_hash(token: str) -> str:
    """Return what the database knows of a token: its SHA-256."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class Keys:
    """Everything that needs the secret."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._serializers = {
            purpose: URLSafeTimedSerializer(
                self._secret, salt=purpose, signer_kwargs={"digest_method": hashlib.sha256}
            )
            for purpose in ("rater", "link", "admin")
        }

    def token(self, battle_id: str, rater_id: str) -> str:
        """Return a battle's token for its rater: 192 bits."""
        digest = self._digest("token", battle_id, rater_id)
        return base64.urlsafe_b64encode(digest[:_TOKEN_BYTES]).decode()

    def receipt(self, battle_id: str, revision: int) -> str:
        """Return the name of a vote's revision, which nobody else can make: 96 bits."""
        return self._digest("receipt", battle_id, str(revision))[:12].hex()

    def account(self, provider: str, subject: str) -> str:
        """Return a name for an outside account that tells nothing about it."""
        return f"{provider}:{self._digest('account', provider, subject)[:16].hex()}"

    def sign(self, purpose: str, content: Any) -> str:
        """Sign JSON-like content; ``purpose`` is ``rater``, ``link`` or ``admin``."""
        signed = self._serializers[purpose].dumps(content)
        return signed if isinstance(signed, str) else signed.decode()

    def unsign(self, purpose: str, text: str, *, max_age_s: int) -> Any:
        """Return signed content; None if it was not signed here, for this, or too long ago."""
        try:
            return self._serializers[purpose].loads(text, max_age=max_age_s)
        except BadData:
            return None

    def _digest(self, *parts: str) -> bytes:
        return hmac.digest(self._secret, "\0".join(parts).encode(), "sha256")
