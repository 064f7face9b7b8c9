#!/usr/bin/env python3
"""Checks a bundle of Decouple without Decouple: python3 check.py BUNDLE PUBLIC_KEY

Needs Python 3.9 and openssl 3. It checks the signature of the manifest, the hash of every file, and the chain of
checksums through every stream of events, from the description of the format in docs/exit.md alone.
"""
import base64, hashlib, json, os, subprocess, sys, tarfile, tempfile
from datetime import datetime, timezone


def fail(what):
    sys.exit("not as it was signed: " + what)


def signed(envelope, public):
    """The payload of a DSSE envelope, if openssl finds its Ed25519 signature good."""
    kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"])
    with tempfile.TemporaryDirectory() as d:
        pae, sig = os.path.join(d, "pae"), os.path.join(d, "sig")
        with open(pae, "wb") as f:
            f.write(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
        with open(sig, "wb") as f:
            f.write(base64.b64decode(envelope["signatures"][0]["sig"]))
        run = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", pae, "-sigfile", sig], capture_output=True)
    if run.returncode != 0:
        fail("the signature does not hold")
    return json.loads(payload)


def uvarint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def text(b):
    b = b.encode() if isinstance(b, str) else b
    return uvarint(len(b)) + b


def micros(time):
    """Microseconds since 1970 of an RFC 3339 time in UTC."""
    whole, _, rest = time.rstrip("Z").partition(".")
    t = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return int(t.timestamp()) * 1_000_000 + int(rest.ljust(6, "0") or 0)


def payload_of(line, event):
    """The payload as it stands in the line: the last field, byte for byte."""
    if "payload_base64" in event:
        return base64.b64decode(event["payload_base64"])
    if "payload" not in event:
        return b""
    start = line.index(b',"payload":', line.index(b'"sum":"')) + len(b',"payload":')
    return line.rstrip(b"\n")[start:-1]


def record_of(line, e):
    if "record" in e:
        return base64.b64decode(e["record"])
    at, actor = micros(e["time"]), e.get("actor", {})
    return (b"\x01" + text(e.get("tenant", "")) + text(e.get("stream", "")) + text(e.get("id", "")) + uvarint(e["seq"]) + text(e["event"]) + uvarint(e["version"]) + uvarint(at << 1 if at >= 0 else ~(at << 1))
            + text(actor.get("kind", "")) + text(actor.get("id", "")) + b"".join(text(e.get(k, "")) for k in ("causation", "root", "trace", "subject", "commit")) + text(payload_of(line, e)))


def main(bundle, public):
    with tarfile.open(bundle, "r:") as tar:
        names = tar.getnames()
        m = signed(json.load(tar.extractfile("manifest.json")), public)
        if names != [f["name"] for f in m["files"]] + ["manifest.json"]:
            fail("other files, or in another order")
        heads, position = {}, 0
        for f in m["files"]:
            whole = hashlib.sha256()
            for line in tar.extractfile(f["name"]):
                whole.update(line)
                if not f["name"].startswith("events/"):
                    continue
                e = json.loads(line)
                position += 1
                stream = (e.get("tenant"), e.get("stream"), e.get("id")) if "record" not in e else None
                if stream:  # of events whose names are no UTF-8 the hash of the file is all that is checked here
                    before = heads.get(stream, bytes(32))
                    heads[stream] = hashlib.sha256(before + record_of(line, e)).digest()
                    if heads[stream].hex() != e["sum"] or e["position"] != position:
                        fail("%s, position %d" % (f["name"], position))
            if whole.hexdigest() != f["sha256"]:
                fail(f["name"])
        if position != m["head"]:
            fail("the events end at %d" % position)
    print("ok: %d files, %d events in %d streams, as signed by the key given, made %s" % (len(m["files"]), position, len(heads), m["made"]))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
