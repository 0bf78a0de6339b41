"""Channels: a foreign certificate is refused, and which servers may be on this machine."""

from __future__ import annotations

import os
import subprocess
import sys

import grpc
import pytest
from fake_triton import FakeTriton, picture, run_cli
from tridet import TLS, Detector, InvalidInput, ServerUnreachable
from tridet.channel import is_loopback, proxy_variable

# A throwaway pair for localhost that signs itself, valid until 2126; it protects nothing.
KEY = b"""-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgES0UzS0mkYEMahrz
vGvS5Dy76f62j16j8GURHnTpitahRANCAAT7T+uyovFghjWeZ5pWj9etf67KqloF
1PXQJKcVK33BHcVOwxrzqTUCkWVaVjciR44fJY5Lz1FYHbss1kGZRNLK
-----END PRIVATE KEY-----
"""
CERTIFICATE = b"""-----BEGIN CERTIFICATE-----
MIIBljCCATugAwIBAgIUDtoESJaw1K1PZcdQriimkXq2NpUwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTA4MzczOVoYDzIxMjYxMDI4
MDgzNzM5WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAT7T+uyovFghjWeZ5pWj9etf67KqloF1PXQJKcVK33BHcVOwxrzqTUC
kWVaVjciR44fJY5Lz1FYHbss1kGZRNLKo2kwZzAdBgNVHQ4EFgQUHDQEzmIiXfeM
xkGae8Go0CG9XXowHwYDVR0jBBgwFoAUHDQEzmIiXfeMxkGae8Go0CG9XXowDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SQAwRgIhALyqMjfgt6X3uj/R3aVhNSRlzVhsuD/6YXr41mSQK/O2AiEAzNWxJI7q
G7UvbYa/0pIZqAIt0o98K/RF7ft7dw2zhtE=
-----END CERTIFICATE-----
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "cert.pem").write_bytes(CERTIFICATE)
    (tmp_path / "key.pem").write_bytes(KEY)
    return tmp_path


def test_a_trusted_server(files):
    credentials = grpc.ssl_server_credentials([(KEY, CERTIFICATE)])
    tls = TLS(ca_file=files / "cert.pem")
    with (
        FakeTriton(credentials=credentials) as fake,
        Detector(fake.url, "pcb", tls=tls) as detector,
    ):
        assert len(detector(picture(64, 64))) == 2


def test_a_server_that_asks_for_a_certificate(files):
    credentials = grpc.ssl_server_credentials([(KEY, CERTIFICATE)], CERTIFICATE, True)
    options = ["--tls-ca", files / "cert.pem"]
    with FakeTriton(credentials=credentials) as fake:
        assert run_cli("status", "--url", fake.url, *options)[0] == 1
        options += ["--tls-cert", files / "cert.pem", "--tls-key", files / "key.pem"]
        assert run_cli("status", "--url", fake.url, *options)[0] == 0


def test_an_unknown_certificate_and_no_tls_are_refused():
    credentials = grpc.ssl_server_credentials([(KEY, CERTIFICATE)])
    with FakeTriton(credentials=credentials) as fake:
        for tls in (TLS(), None):
            with pytest.raises(ServerUnreachable), Detector(fake.url, "pcb", tls=tls):
                pass


def test_missing_files():
    with pytest.raises(InvalidInput, match=r"tls: cannot read nowhere\.pem: No such file"):
        Detector("localhost:8001", "pcb", tls=TLS(ca_file="nowhere.pem"))


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("localhost:8001", True),
        ("127.0.0.1:8001", True),
        ("127.3.2.1:1", True),
        ("[::1]:8001", True),
        ("10.0.0.7:8001", False),
        ("triton:8001", False),
        ("localhost.example.org:8001", False),
    ],
)
def test_which_servers_may_be_on_this_machine(url, loopback):
    assert is_loopback(url) == loopback


@pytest.mark.parametrize(
    ("url", "environment", "variable"),
    [
        ("127.0.0.1:8001", {"http_proxy": "http://p:1"}, None),
        ("localhost:8001", {"http_proxy": "http://p:1"}, None),
        ("triton:8001", {}, None),
        ("triton:8001", {"http_proxy": "http://p:1"}, "http_proxy"),
        ("triton:8001", {"grpc_proxy": "http://p:1", "http_proxy": "http://p:1"}, "grpc_proxy"),
        ("triton:8001", {"HTTP_PROXY": "http://p:1"}, None),
        ("triton:8001", {"http_proxy": "http://p:1", "no_proxy": "a,triton"}, None),
        ("gpu.example.org:8001", {"https_proxy": "http://p:1", "NO_PROXY": ".example.org"}, None),
    ],
)
def test_which_way_is_through_a_proxy(monkeypatch, url, environment, variable):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_variable(url) == variable


def test_a_proxy_is_no_matter_of_this_machine_and_named_elsewhere(fake, monkeypatch):
    for name in ("no_proxy", "NO_PROXY", "https_proxy", "grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with Detector(fake.url, "pcb") as detector:
        assert len(detector(picture(64, 64))) == 2
    far = Detector("192.0.2.1:8001", "pcb", retries=0, timeout_s=5)
    with pytest.raises(ServerUnreachable, match="through the proxy of http_proxy"):
        far.connect()


def test_tls_to_a_server_without_it_is_one_line(fake):
    command = [sys.executable, "-m", "tridet", "status", "--tls", "--url", fake.url]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("tridet: error: no secure connection to")
    assert "leave --tls out if not" in line
