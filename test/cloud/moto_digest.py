"""moto's server, with one thing mended: KMS's Sign takes the message for a digest where MessageType is DIGEST.

moto 5.2.5 hashes such a message again, so that no signature would verify (its pull request 10202). AWS signs it as it
is (API reference of KMS, Sign). Nothing else is changed; no test of ours may count on more.
"""

import sys
import threading

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils as asymmetric
from moto.kms.responses import KmsResponse
from moto.kms.utils import ECDSAPrivateKey
from moto.server import main

request = threading.local()
respond, hash_and_sign = KmsResponse.sign, ECDSAPrivateKey.sign


def sign_response(self):
    request.digest = self._get_param("MessageType") == "DIGEST"
    return respond(self)


def sign(self, message, signing_algorithm):
    if not getattr(request, "digest", False) or signing_algorithm != "ECDSA_SHA_256":
        return hash_and_sign(self, message, signing_algorithm)
    return self.private_key.sign(message, ec.ECDSA(asymmetric.Prehashed(hashes.SHA256())))


KmsResponse.sign, ECDSAPrivateKey.sign = sign_response, sign
sys.exit(main())
