"""Content credentials as C2PA's own library signs them."""

import datetime
import io
import json

import pytest

from noisescope_core.images.records import Said, said_by
from tests.record_files import CAPTURED, COMPOSITE, PIXELS, TRAINED, encoded

c2pa = pytest.importorskip("c2pa", reason="c2pa-python is not installed")
x509 = pytest.importorskip("cryptography.x509")


def certificate(name, key, issuer=None, issuer_key=None):
    """A certificate of an authority, or one by it that may sign documents."""
    from cryptography.hazmat.primitives import hashes

    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([
        x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "NoiseScope's tests"),
        x509.NameAttribute(x509.NameOID.COMMON_NAME, name),
    ])  # fmt: skip
    by_key = issuer_key or key
    leaf = issuer is not None
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"), False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if leaf else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=not leaf, path_length=None), True)
        .add_extension(
            x509.KeyUsage(digital_signature=leaf, key_cert_sign=not leaf, crl_sign=not leaf,
                          **usage), True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key()), False
        )
    )  # fmt: skip
    if leaf:
        email = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(email, False)
    return builder.sign(by_key, hashes.SHA256())


@pytest.fixture(scope="module")
def signer():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = certificate("authority", root_key)
    own = certificate("signer", key, root, root_key)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain = own.public_bytes(pem) + root.public_bytes(pem)
    return c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, private, None))


def signed(signer, data, kind, actions=None, program="Some Generator"):
    """Sign a file with c2pa-python; without actions as an edit of what the file was."""
    manifest = {"claim_generator_info": [{"name": program, "version": "1.0"}]}
    if actions is not None:
        manifest["assertions"] = [{"label": "c2pa.actions", "data": {"actions": actions}}]
    builder, out = c2pa.Builder(json.dumps(manifest)), io.BytesIO()
    if actions is None:
        builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
    builder.sign(signer, kind, io.BytesIO(data), out)
    return out.getvalue()


def created(source):
    return [{"action": "c2pa.created", "digitalSourceType": source}]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_signed_manifest_is_read(signer, kind):
    mime = f"image/{kind.lower()}"
    data = encoded(kind, PIXELS)
    for source in (TRAINED, COMPOSITE):
        assert said_by(signed(signer, data, mime, created(source))) == Said(
            "c2pa", "Some Generator"
        )
    assert said_by(signed(signer, data, mime, created(CAPTURED))) == Said()


def test_an_edited_image_keeps_its_origin(signer):
    origin = signed(signer, encoded("JPEG", PIXELS), "image/jpeg", created(TRAINED))
    edited = signed(signer, origin, "image/jpeg", program="Some Editor")
    assert len(edited) > len(origin)
    assert said_by(edited) == Said("c2pa", "Some Generator")
    photograph = signed(signer, encoded("JPEG", PIXELS), "image/jpeg", created(CAPTURED))
    assert said_by(signed(signer, photograph, "image/jpeg", program="Some Editor")) == Said()
